/** The configuration file: its keys, and how it is read and refused. */

import { limits } from "../contract/limits.js";
import { type Ipv4Network, isHostOf } from "../home/ipv4.js";
import { proxiesOf } from "../host/proxies.js";
import { BangerError } from "../lib/errors.js";
import type { RegistryOption } from "../oci/registry.js";
import { configEntries, readConfigText } from "./file.js";
import type { Config } from "./form.js";
import { guestKeys, guestOf } from "./guest.js";
import {
  address,
  bridgeName,
  type ConfigKey,
  checkInto,
  choice,
  count,
  duration,
  type FileSync,
  fileSync,
  image,
  type ListenAddress,
  listenAddress,
  network,
  path,
  registry,
  size,
  text,
} from "./values.js";

const program = text("^(/.*)?[^/]+$", "the name of a program in PATH, or an absolute path");

/** In MiB. */
const mostPerSecond = { minimum: 1, maximum: 1024 * 1024 };

/** Every key, in the order of docs/config.md. A name with a dot stands in the table before the dot. */
export const configKeys = {
  log_level: {
    ...choice("trace", "debug", "info", "warn", "error"),
    default: "info",
    about: "Minimum severity of the daemon's log.",
  },
  vmm: {
    ...choice("auto", "qemu", "firecracker"),
    default: "auto",
    about: "What runs the VMs; `auto` picks what the host supports.",
  },
  accelerator: {
    ...choice("auto", "kvm", "tcg"),
    default: "auto",
    about:
      "Whether QEMU's guests run on the processor (`kvm`) or in software (`tcg`); `auto` tries KVM at each start.",
  },
  qemu_bin: {
    ...program,
    default: "qemu-system-x86_64",
    about: "QEMU's system emulator.",
  },
  firecracker_bin: {
    ...program,
    default: "firecracker",
    about: "Firecracker, recorded by `banger system install` for system mode.",
  },
  jailer_bin: {
    ...program,
    default: "jailer",
    about: "Firecracker's jailer, also recorded by `banger system install`.",
  },
  default_image: {
    ...image,
    default: "debian-slim",
    about: "Image of VMs that are created without `--image`.",
  },
  mirror: {
    ...text("^(https?|file|copy)://\\S+$", "an http, https, file or copy URL"),
    about: "Debian mirror for building images (default: the host's own apt configuration).",
  },
  proxy: {
    ...text("^https?://\\S+$", "an http or https URL"),
    secret: true,
    about:
      "HTTP proxy for pulling images when the calling shell sets neither `http_proxy` nor `https_proxy`.",
  },
  no_proxy: {
    ...text("^[^\\0]+$", "names, addresses and networks with commas between them"),
    about: "Hosts to reach without that proxy, as in `NO_PROXY`.",
  },
  resync_interval: {
    ...duration("1s", "1h"),
    default: "10s",
    about: "How often the daemon compares the whole host with what is wanted.",
  },
  boot_timeout: {
    ...duration("1s", "1h"),
    default: "3m",
    about: "How long a guest may take to answer after its VMM started, before the start fails.",
  },
  stop_timeout: {
    ...duration("1s", "1h"),
    default: "30s",
    about: "How long a guest may take to shut down before it is killed.",
  },
  retention: {
    ...duration("1m", "3650d"),
    default: "7d",
    about: "How long a deleted VM stays in the event log before its events move to the archive.",
  },
  stats_poll_interval: {
    ...duration("1s", "1h"),
    default: "2s",
    about: "How often `vm stats --watch` prints.",
  },
  auto_stop_stale_after: {
    ...duration("1m", "365d"),
    about: "Stop running VMs that have not been used for this long (default: never).",
  },
  ssh_key_path: {
    ...path,
    about:
      "Private key for logging in to every VM, with its `.pub` beside it (default: banger generates one).",
  },
  file_sync: {
    ...fileSync,
    about: "Files that every new guest gets a copy of; see below.",
  },
  registry: {
    ...registry,
    about: "How to reach a container registry; see below.",
  },
  dns_listen: {
    ...listenAddress,
    default: "127.0.0.1:42069",
    about: "Where names such as `box.vm` are answered; if the port is taken, a free one is used.",
  },
  bridge_name: {
    ...bridgeName,
    default: "br-fc",
    about: "The bridge that system mode's VMs are connected to.",
  },
  cidr: {
    ...network,
    default: "172.16.0.0/24",
    about: "The bridge's network, from which VMs get their addresses.",
  },
  bridge_ip: {
    ...address,
    about: "The host's address in that network (default: the first one).",
  },
  tap_pool_size: {
    ...count({ minimum: 0, maximum: 64 }),
    default: 4,
    about: "How many taps are kept ready for new VMs.",
  },
  default_dns: {
    ...address,
    default: "1.1.1.1",
    about: "The name server that VMs on that bridge ask.",
  },
  disk_rate: {
    ...size(mostPerSecond),
    about: "Bandwidth limit per disk and second for VMs under Firecracker (default: none).",
  },
  disk_operations: {
    ...count({ minimum: 1, maximum: 10_000_000 }),
    about: "Limit on reads and writes per disk and second for VMs under Firecracker.",
  },
  network_rate: {
    ...size(mostPerSecond),
    about: "Bandwidth limit per second for sending, and for receiving, of such a VM.",
  },
  memory_percent: {
    ...count({ minimum: 1, maximum: 10_000 }),
    default: 100,
    about:
      "Memory limit for all running VMs together, in percent of the memory of this machine or its control group.",
  },
  disk_reserve: {
    ...size({ minimum: 1, maximum: limits.diskMiB.maximum }),
    about: "Free disk space required for a create, start or pull (default: 5 %, at most 2G).",
  },
  "vm_defaults.vcpu": { ...count(limits.vcpu), about: "CPUs of a new VM." },
  "vm_defaults.memory": { ...size(limits.memoryMiB), about: "Memory of a new VM." },
  "vm_defaults.disk_size": { ...size(limits.diskMiB), about: "Size of a new VM's disk for `/root`." },
  "vm_defaults.root_size": {
    ...size(limits.diskMiB),
    about: "Size of a new VM's disk for `/` in user mode, if larger than the image's.",
  },
  ...guestKeys,
} satisfies Record<string, ConfigKey>;

type KeyName = keyof typeof configKeys;
type ValueOf<K extends ConfigKey> = ReturnType<K["read"]> | (K extends { default: unknown } ? never : null);

const tables = new Set(Object.keys(configKeys).flatMap((name) => name.split(".").slice(0, -1)));

const lists = new Set(
  Object.entries<ConfigKey>(configKeys).flatMap(([name, key]) => (key.list ? [name] : [])),
);

/**
 * The configuration at `path`; a file that is not there means the defaults.
 * @throws BangerError `config_unreadable`, or `config_invalid` with file, line and what is allowed instead
 */
export function loadConfig(path: string): Config {
  return parseConfig(readConfigText(path), path);
}

/** The configuration that `text` holds; `path` is for messages. */
export function parseConfig(text: string, path: string): Config {
  const values = new Map<string, unknown>();
  const mistakes: string[] = [];
  const entries = configEntries(text, path, { tables, lists });
  for (const { name, line, value } of entries) {
    const mistake = checkInto(values, name, value, { keys: configKeys, tables });
    if (mistake !== undefined) mistakes.push(`${path}:${line}: ${mistake}`);
  }
  const lineOf = (name: string) => entries.find((entry) => entry.name === name)?.line;
  const get = <K extends KeyName>(name: K) => {
    const key: ConfigKey = configKeys[name];
    const value = values.has(name)
      ? values.get(name)
      : key.default === undefined
        ? null
        : key.read(key.default);
    return value as ValueOf<(typeof configKeys)[K]>;
  };
  const cidr = get("cidr");
  const bridgeAddress = get("bridge_ip") ?? cidr.first;
  if (!isHostOf(cidr, bridgeAddress)) {
    mistakes.push(`${path}:${lineOf("bridge_ip")}: ${outsideNetwork(cidr, bridgeAddress)}`);
  }
  if (mistakes.length > 0) {
    throw new BangerError("config_invalid", mistakes.join("; "), { hint: `edit ${path}` });
  }
  return {
    logLevel: get("log_level"),
    vmm: get("vmm"),
    accelerator: get("accelerator"),
    qemuBin: get("qemu_bin"),
    firecrackerBin: get("firecracker_bin"),
    jailerBin: get("jailer_bin"),
    defaultImage: get("default_image"),
    mirror: get("mirror"),
    proxies: proxiesOf({ all_proxy: get("proxy") ?? "", no_proxy: get("no_proxy") ?? "" }),
    resyncIntervalMs: get("resync_interval"),
    bootTimeoutMs: get("boot_timeout"),
    stopTimeoutMs: get("stop_timeout"),
    retentionMs: get("retention"),
    statsPollIntervalMs: get("stats_poll_interval"),
    autoStopAfterMs: get("auto_stop_stale_after"),
    sshKeyPath: get("ssh_key_path"),
    fileSync: (values.get("file_sync") as FileSync[] | undefined) ?? [],
    dnsListen: get("dns_listen"),
    registries: (values.get("registry") as RegistryOption[] | undefined) ?? [],
    network: {
      bridge: get("bridge_name"),
      address: bridgeAddress,
      prefixLength: cidr.prefixLength,
      dns: get("default_dns"),
      tapPoolSize: get("tap_pool_size"),
    },
    allowed: { memoryPercent: get("memory_percent"), reserveMiB: get("disk_reserve") },
    rateLimits: {
      diskMiB: get("disk_rate"),
      diskOperations: get("disk_operations"),
      networkMiB: get("network_rate"),
    },
    guest: guestOf(values),
    vmDefaults: {
      vcpu: get("vm_defaults.vcpu"),
      memoryMiB: get("vm_defaults.memory"),
      diskMiB: get("vm_defaults.disk_size"),
      rootMiB: get("vm_defaults.root_size"),
    },
  };
}

const outsideNetwork = (cidr: Ipv4Network, address: string): string =>
  `bridge_ip must be an address of a host in cidr, ${cidr.first} to ${cidr.last}, not ${JSON.stringify(address)}`;
