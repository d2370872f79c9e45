/** What this machine has and lacks for banger, as checks over facts: each passes, warns or fails, with one fix. */
import type { DaemonView, DefaultsView } from "../contract/daemon.js";
import type { UnknownVm } from "../contract/unknown.js";
import { formatBytes, formatSize } from "../lib/sizes.js";
import { type Check, type Fact, fail, judge, pass, warn } from "./check.js";
import { type ProcessFacts, processChecks } from "./process.js";
import { roomChecks } from "./room.js";
import { runsFirecracker, type SystemFacts, systemChecks } from "./system.js";

/** What the checks judge. Every field is read from the host once (doctor-host.ts). */
export interface HostFacts {
  /** As `process.arch` has it. */
  architecture: string;
  kvm: { usable: true } | { usable: false; why: string; hint: string };
  /** First line of `qemu --version`, by the configured name. */
  qemu: { program: string; version: Fact<string> };
  process: ProcessFacts;
  system: SystemFacts;
  /** Path of each tool. */
  tools: Record<ToolName, Fact<string>>;
  /** Each directory that banger writes to, and null or why it cannot. */
  places: { path: string; problem: string | null }[];
  freeBytes: Fact<{ path: string; bytes: number }>;
  image: Fact<{ name: string; is: "here" | "in the catalog" | "in a registry" }>;
  defaults: Fact<DefaultsView>;
  daemon: Fact<{
    pid: number;
    dns: string | null;
    room?: DaemonView["room"];
    network?: DaemonView["network"];
  } | null>;
  /** VMs that run and that the log does not know; none where no daemon tells. */
  unknownVms: Fact<UnknownVm[]>;
  /** Where names should be answered, `host:port` or "off". */
  dnsListen: Fact<string>;
  /** Number of faults found in the log; null when there is no log yet. */
  log: Fact<{ faults: string[] } | null>;
  /** The user's ssh configuration: whether it includes banger's, and whether that is there. */
  ssh: Fact<{ included: boolean; written: boolean }>;
}

export const toolPackages = {
  "qemu-img": "qemu-utils",
  mke2fs: "e2fsprogs",
  ssh: "openssh-client",
  "ssh-keygen": "openssh-client",
  mmdebstrap: "mmdebstrap",
} as const;
export type ToolName = keyof typeof toolPackages;

const oldestQemu = 6;
const giB = 1024 ** 3;
/** An image and a few overlays; below the second figure not even an image can be built. */
const comfortableBytes = 10 * giB;
const leastBytes = 3 * giB;
/** A guest that waits for disk space resumes at about this much. */
const fullBytes = giB / 16;

/** All checks, in the order in which they are shown. */
export function doctorChecks(facts: HostFacts): Check[] {
  const firecracker = runsFirecracker(facts.system);
  return [
    architecture(facts.architecture),
    facts.kvm.usable
      ? pass("kvm", "usable")
      : warn("kvm", `not used: ${facts.kvm.why}; VMs use slow software emulation`, facts.kvm.hint),
    firecracker ? pass("qemu", "not needed: VMs run in Firecracker") : qemu(facts.qemu),
    ...(firecracker ? [] : processChecks(facts.process)),
    ...Object.entries(facts.tools)
      .filter(([name]) => !(firecracker && name === "qemu-img"))
      .map(([name, path]) => tool(name as ToolName, path)),
    ...facts.places.map(({ path, problem }) =>
      problem === null
        ? pass("directory", `${path} is writable`)
        : fail("directory", `${path}: ${problem}`, `make it writable: ls -ld ${path}`),
    ),
    judge("disk space", facts.freeBytes, "df -h", space),
    judge("image", facts.image, "banger image list", ({ name, is }) =>
      pass("image", is === "here" ? `${name} is present` : `${name} is ${is}; the first vm run pulls it`),
    ),
    judge("vm defaults", facts.defaults, "banger doctor --json", (defaults) =>
      pass("vm defaults", defaultsLine(defaults)),
    ),
    judge("daemon", facts.daemon, "banger daemon status", (daemon) =>
      pass(
        "daemon",
        daemon === null ? "not running; the next command starts it" : `running as pid ${daemon.pid}`,
      ),
    ),
    judge("unknown vms", facts.unknownVms, "banger daemon status", unknownVms),
    ...roomChecks("ok" in facts.daemon ? facts.daemon.ok?.room : undefined),
    ...systemChecks(facts.system, "ok" in facts.daemon ? facts.daemon.ok?.network : undefined),
    judge("dns", facts.dnsListen, "banger doctor", (wanted) => dns(wanted, facts.daemon)),
    judge("ssh-config", facts.ssh, "banger ssh-config", sshConfig),
    judge("log", facts.log, "banger events verify", log),
  ];
}

function unknownVms(found: UnknownVm[]): Check {
  if (found.length === 0) return pass("unknown vms", "every running VM is in the log");
  const each = found.map(({ id, pid }) => `${id} (pid ${pid})`).join(", ");
  const detail = `running here but not in the log (was a backup restored?); they are left alone: ${each}`;
  const hint = `banger vm kill --unknown ${found.map(({ id }) => id).join(" ")}`;
  return warn("unknown vms", detail, hint);
}

function architecture(name: string): Check {
  if (name === "x64") return pass("architecture", "x86_64");
  return fail(
    "architecture",
    `${name}: kernels and images are for x86_64 only`,
    "use a machine with an x86_64 processor",
  );
}

function qemu({ program, version }: HostFacts["qemu"]): Check {
  const install = "sudo apt-get install qemu-system-x86, or set qemu_bin in the configuration";
  return judge("qemu", version, install, (text) => {
    const [, number = "", major = ""] = /version ((\d+)[\d.]*)/.exec(text) ?? [];
    if (number === "") return warn("qemu", `${program} does not report its version: ${text}`, install);
    if (Number(major) >= oldestQemu) return pass("qemu", `${program} ${number}`);
    return fail("qemu", `${program} ${number} is older than ${oldestQemu}.0`, install);
  });
}

const tool = (name: ToolName, path: Fact<string>): Check =>
  judge(name, path, `sudo apt-get install -y ${toolPackages[name]}`, (found) => pass(name, found));

function space({ path, bytes }: { path: string; bytes: number }): Check {
  const full = bytes < fullBytes ? "the disk is full, and guests that write are paused: " : "";
  const detail = `${full}${formatBytes(bytes)} free at ${path}`;
  const hint = `free some space (banger vm prune, df -h ${path}), or point XDG_DATA_HOME and XDG_STATE_HOME elsewhere`;
  if (bytes < leastBytes) return fail("disk space", detail, hint);
  return bytes < comfortableBytes ? warn("disk space", detail, hint) : pass("disk space", detail);
}

function dns(wanted: string, daemon: HostFacts["daemon"]): Check {
  if (wanted === "off") return pass("dns", "off, as configured");
  if (!("ok" in daemon) || daemon.ok === null) return pass("dns", `${wanted}, as soon as the daemon runs`);
  const { dns: served } = daemon.ok;
  if (served === wanted) return pass("dns", `names such as box.vm are answered at ${served}`);
  const free = "set dns_listen to a port that is free, then: banger daemon stop";
  if (served === null) return warn("dns", `nothing answers at ${wanted}; the daemon's log says why`, free);
  return warn("dns", `${wanted} was taken; names are answered at ${served}`, free);
}

function sshConfig({ included, written }: { included: boolean; written: boolean }): Check {
  if (!included)
    return pass("ssh-config", "not installed; banger ssh-config --install makes ssh NAME.vm work");
  if (written) return pass("ssh-config", "installed: ssh NAME.vm");
  const detail = "~/.ssh/config includes a banger file that is missing";
  return warn("ssh-config", detail, "banger ssh-config --install");
}

function log(found: { faults: string[] } | null): Check {
  if (found === null) return pass("log", "none yet");
  const [first] = found.faults;
  if (first === undefined) return pass("log", "intact");
  return fail("log", `${found.faults.length} faults, the first: ${first}`, "banger events verify");
}

const defaultsLine = ({ vcpu, memoryMiB, diskMiB, rootMiB }: DefaultsView): string =>
  [
    `${vcpu.value} vcpu (${vcpu.source})`,
    `${formatSize(memoryMiB.value)} memory (${memoryMiB.source})`,
    `${formatSize(diskMiB.value)} disk (${diskMiB.source})`,
    ...(rootMiB.value === null ? [] : [`${formatSize(rootMiB.value)} for / (${rootMiB.source})`]),
  ].join(", ");
