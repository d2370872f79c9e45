/** The configuration file: its keys, how it is read and refused, and what new VMs get by default. */
import { Value } from "@sinclair/typebox/value";
import { configEntries, readConfigText } from "./config-file.js";
import {
  type ConfigKey,
  choice,
  count,
  duration,
  type FileSync,
  fileSync,
  image,
  type ListenAddress,
  listenAddress,
  path,
  registry,
  size,
  text,
} from "./config-values.js";
import { BangerError } from "./errors.js";
import type { RegistryOption } from "./images/oci/registry.js";
import { limits } from "./limits.js";

/** Every key, in the order of docs/config.md. A name with a dot stands in the table before the dot. */
export const configKeys = {
  log_level: {
    ...choice("trace", "debug", "info", "warn", "error"),
    default: "info",
    about: "Least severe lines that go into the daemon's log.",
  },
  vmm: {
    ...choice("auto", "qemu"),
    default: "auto",
    about: "What runs the VMs; `auto` takes what the host can run.",
  },
  qemu_bin: {
    ...text("^(/.*)?[^/]+$", "the name of a program in PATH, or an absolute path"),
    default: "qemu-system-x86_64",
    about: "QEMU's system emulator.",
  },
  default_image: {
    ...image,
    default: "debian-slim",
    about: "Image of VMs that are created without `--image`.",
  },
  mirror: {
    ...text("^(https?|file|copy)://\\S+$", "an http, https, file or copy URL"),
    about: "Debian mirror that images are built from; without it the host's own apt configuration says.",
  },
  resync_interval: {
    ...duration("1s", "1h"),
    default: "10s",
    about: "How often the daemon compares the whole host with what is wanted.",
  },
  boot_timeout: {
    ...duration("1s", "1h"),
    default: "3m",
    about: "How long a guest has to answer after its VMM started; then the start has failed.",
  },
  stop_timeout: {
    ...duration("1s", "1h"),
    default: "30s",
    about: "How long a guest has to shut down before it is killed.",
  },
  retention: {
    ...duration("1m", "3650d"),
    default: "7d",
    about: "How long a deleted VM stays in the event log before its events move to the archive.",
  },
  stats_poll_interval: {
    ...duration("1s", "1h"),
    default: "2s",
    about: "How often `vm stats --watch` looks.",
  },
  auto_stop_stale_after: {
    ...duration("1m", "365d"),
    about: "A running VM that nobody has used for so long is stopped; without it none is.",
  },
  ssh_key_path: {
    ...path,
    about: "Private key that opens every VM, its `.pub` beside it; without it banger makes one of its own.",
  },
  file_sync: {
    ...fileSync,
    about: "What a new guest gets a copy of; see below.",
  },
  registry: {
    ...registry,
    about: "How a registry of container images is reached; see below.",
  },
  dns_listen: {
    ...listenAddress,
    default: "127.0.0.1:42069",
    about: "Where names such as `box.vm` are answered; where the port is taken, any free one serves.",
  },
  "vm_defaults.vcpu": { ...count(limits.vcpu), about: "CPUs of a new VM." },
  "vm_defaults.memory": { ...size(limits.memoryMiB), about: "Memory of a new VM." },
  "vm_defaults.disk_size": { ...size(limits.diskMiB), about: "Size of a new VM's disk for `/root`." },
} satisfies Record<string, ConfigKey>;

type KeyName = keyof typeof configKeys;
type ValueOf<K extends ConfigKey> = ReturnType<K["read"]> | (K extends { default: unknown } ? never : null);

const tables = new Set(Object.keys(configKeys).flatMap((name) => name.split(".").slice(0, -1)));

const lists = new Set(
  Object.entries<ConfigKey>(configKeys).flatMap(([name, key]) => (key.list ? [name] : [])),
);

export interface Config {
  logLevel: "trace" | "debug" | "info" | "warn" | "error";
  vmm: "auto" | "qemu";
  qemuBin: string;
  defaultImage: string;
  /** Null: what the host's apt configuration says. */
  mirror: string | null;
  resyncIntervalMs: number;
  bootTimeoutMs: number;
  stopTimeoutMs: number;
  retentionMs: number;
  statsPollIntervalMs: number;
  /** Null: never. */
  autoStopAfterMs: number | null;
  /** Null: a key that banger makes. May begin with `~/`. */
  sshKeyPath: string | null;
  fileSync: FileSync[];
  dnsListen: ListenAddress | "off";
  registries: RegistryOption[];
  vmDefaults: { vcpu: number | null; memoryMiB: number | null; diskMiB: number | null };
}

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
  for (const { name, line, value } of configEntries(text, path, { tables, lists })) {
    const mistake = checkInto(values, name, value);
    if (mistake !== undefined) mistakes.push(`${path}:${line}: ${mistake}`);
  }
  if (mistakes.length > 0) {
    throw new BangerError("config_invalid", mistakes.join("; "), { hint: `edit ${path}` });
  }
  const get = <K extends KeyName>(name: K) => {
    const key: ConfigKey = configKeys[name];
    const value = values.has(name)
      ? values.get(name)
      : key.default === undefined
        ? null
        : key.read(key.default);
    return value as ValueOf<(typeof configKeys)[K]>;
  };
  return {
    logLevel: get("log_level"),
    vmm: get("vmm"),
    qemuBin: get("qemu_bin"),
    defaultImage: get("default_image"),
    mirror: get("mirror"),
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
    vmDefaults: {
      vcpu: get("vm_defaults.vcpu"),
      memoryMiB: get("vm_defaults.memory"),
      diskMiB: get("vm_defaults.disk_size"),
    },
  };
}

/** Puts the value where it is right, else says what is wrong with it. */
function checkInto(values: Map<string, unknown>, name: string, value: unknown): string | undefined {
  const keys: Readonly<Record<string, ConfigKey>> = configKeys;
  if (tables.has(name)) return `${name} must be a table: write [${name}]`;
  const key = Object.hasOwn(keys, name) ? keys[name] : undefined;
  if (key === undefined) return `"${name}" is not a key; the keys are ${Object.keys(keys).join(", ")}`;
  try {
    if (Value.Check(key.schema, value)) {
      const read = key.read(value);
      values.set(name, key.list ? [...((values.get(name) as unknown[] | undefined) ?? []), read] : read);
      return undefined;
    }
  } catch {
    // What `read` refuses is as wrong as what the schema refuses, and told in the same words.
  }
  return `${name} must be ${key.allowed}, not ${JSON.stringify(value) ?? typeof value}`;
}

export interface Host {
  cpus: number;
  memoryMiB: number;
}

/** A default of new VMs and where it came from. */
export interface Default {
  value: number;
  source: "config" | "host" | "built-in";
}

const builtIn = { vcpu: 1, memoryMiB: 512, diskMiB: 8192 } as const;
const hostShare = { cpus: 4, memory: 8 } as const;
const mostFromHost = { vcpu: 4, memoryMiB: 8192 } as const;

/** What a VM gets without being asked: each from the config, else a share of the host, else built in. */
export function resolveDefaults(
  config: Config,
  host: Host,
): { vcpu: Default; memoryMiB: Default; diskMiB: Default } {
  const resolve = (configured: number | null, share: number, most: number, least: number): Default => {
    if (configured !== null) return { value: configured, source: "config" };
    const value = Math.min(most, Math.floor(share));
    return value >= least ? { value, source: "host" } : { value: least, source: "built-in" };
  };
  const { vcpu, memoryMiB, diskMiB } = config.vmDefaults;
  return {
    vcpu: resolve(vcpu, host.cpus / hostShare.cpus, mostFromHost.vcpu, builtIn.vcpu),
    memoryMiB: resolve(
      memoryMiB,
      host.memoryMiB / hostShare.memory,
      mostFromHost.memoryMiB,
      builtIn.memoryMiB,
    ),
    diskMiB: resolve(diskMiB, 0, 0, builtIn.diskMiB),
  };
}
