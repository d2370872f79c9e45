/** Reads /proc: which process is the VMM of which VM, told apart from every other by pid and start time. */
import { closeSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { basename } from "node:path";
import { type Home, parseGuestName, parseJailId, vmHandles } from "../home/handles.js";
import { BangerError } from "../lib/errors.js";
import type { Accelerator, ProcessIdentity, Seen, VmId } from "../model/model.js";

export type VmmKind = "qemu" | "firecracker";

export interface FoundVmm extends ProcessIdentity {
  kind: VmmKind;
  accelerator?: Accelerator;
  /** A signal has stopped it. */
  frozen?: true;
}

/** What one scan of /proc found. `unreadable` holds a cause when a process of this user could not be read. */
export interface ProcessScan {
  byVm: ReadonlyMap<VmId, FoundVmm>;
  unreadable: string | undefined;
}

/**
 * State letter (field 3) and start time (field 22, in clock ticks since boot) of /proc/PID/stat.
 * The command name stands in parentheses and may itself hold spaces and parentheses, so the last one counts.
 */
export function parseStat(stat: string): { state: string; startTime: string } | undefined {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const state = fields[0];
  const startTime = fields[19];
  if (stat.lastIndexOf(")") < 0 || state === undefined || startTime === undefined) return undefined;
  return /^[A-Za-z]$/.test(state) && /^\d+$/.test(startTime) ? { state, startTime } : undefined;
}

/** Splits /proc/PID/cmdline; a zombie or a kernel thread has no arguments. */
export function parseCmdline(cmdline: string): string[] {
  if (cmdline === "") return [];
  return (cmdline.endsWith("\0") ? cmdline.slice(0, -1) : cmdline).split("\0");
}

/** The parts of a QEMU option: commas separate, a doubled comma stands for itself. */
export function parseOption(option: string): string[] {
  const marked = option.replaceAll(",,", "\0");
  return marked.split(",").map((part) => part.replaceAll("\0", ","));
}

interface Served {
  id: VmId;
  kind: VmmKind;
  accelerator: Accelerator;
}

/** The VM that a QEMU is for, as its argv says. Its home it does not say. */
export function vmOfArgv(argv: readonly string[]): VmId | undefined {
  const name = argv[argv.indexOf("-name") + 1];
  if (!argv.includes("-name") || name === undefined) return undefined;
  const guest = parseOption(name).find((part) => part.startsWith("guest="));
  return guest === undefined ? undefined : parseGuestName(guest.slice("guest=".length));
}

/** What executes the guest of a QEMU, as its argv says: QEMU itself translates where it is told nothing. */
const acceleratorOf = (argv: readonly string[]): Accelerator =>
  parseOption(argv[argv.indexOf("-accel") + 1] ?? "")[0] === "kvm" ? "kvm" : "tcg";

/** The VM that a Firecracker is for, as its argv says; jailer made that argv. Its home it does not say. */
export function vmOfJailedArgv(argv: readonly string[]): VmId | undefined {
  const id = argv[argv.indexOf("--id") + 1];
  if (!argv.includes("--id") || id === undefined || basename(argv[0] ?? "") !== "firecracker")
    return undefined;
  return parseJailId(id);
}

const chunk = Buffer.allocUnsafe(65_536);
/** Longest argv that is read, in bytes. */
const maximumCmdline = 1 << 20;

/** A whole /proc file; cheaper than readFileSync, which asks fstat for a size that /proc does not know. */
function readProc(path: string): string {
  const descriptor = openSync(path, "r");
  try {
    let text = "";
    for (;;) {
      const length = readSync(descriptor, chunk, 0, chunk.length, null);
      text += chunk.toString("latin1", 0, length);
      if (length === 0 || text.length >= maximumCmdline) return Buffer.from(text, "latin1").toString("utf8");
    }
  } finally {
    closeSync(descriptor);
  }
}

const vanished = (error: unknown): boolean =>
  ["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "");

/** Processes of other users may be hidden from us; ours are not, and those are all that we start. */
const hidden = (error: unknown): boolean =>
  ["EACCES", "EPERM"].includes((error as NodeJS.ErrnoException).code ?? "");

const marker = "banger-";

/** Identity of one process, looked at now: a zombie has ended, it is only not yet waited for. */
export function identify(pid: number, procRoot = "/proc"): Seen<ProcessIdentity & { frozen?: true }> {
  try {
    const stat = parseStat(readProc(`${procRoot}/${pid}/stat`));
    if (stat === undefined) return { is: "unknown", cause: `${procRoot}/${pid}/stat makes no sense` };
    if (stat.state === "Z" || stat.state === "X") return { is: "absent" };
    return { is: "present", pid, startTime: stat.startTime, ...(stat.state === "T" && { frozen: true }) };
  } catch (error) {
    if (vanished(error)) return { is: "absent" };
    return { is: "unknown", cause: (error as Error).message };
  }
}

/** True while exactly this process lives, whatever has its pid later. Unknown counts as alive. */
export function isAlive(identity: ProcessIdentity): boolean {
  const seen = identify(identity.pid);
  return seen.is === "unknown" || (seen.is === "present" && seen.startTime === identity.startTime);
}

/** Whether two paths lead to one file; not so when one of them leads nowhere. */
function isSameFile(theirs: string, ours: string): boolean {
  const [a, b] = [theirs, ours].map((path) => statSync(path, { throwIfNoEntry: false }));
  return a !== undefined && b !== undefined && a.dev === b.dev && a.ino === b.ino;
}

/** Whether a process has one of these files open. */
function holds(path: string, files: readonly string[]): boolean {
  const there = files.filter((file) => statSync(file, { throwIfNoEntry: false }) !== undefined);
  if (there.length === 0) return false;
  const open = readdirSync(`${path}/fd`).map((name) => `${path}/fd/${name}`);
  return open.some((descriptor) => there.some((file) => isSameFile(descriptor, file)));
}

/**
 * Whether the process is that VM's of this home: a home is its directories, by whatever path each side sees them. A
 * VMM sits where its sockets are; where that directory was lost, its disks still tell.
 * @throws when its owner is this user and /proc does not tell.
 */
function isOfHome(home: Home, { id, kind }: Served, path: string): boolean {
  const { jailRoot, runtime, directory, workDisk, rootDisk, rootFile } = vmHandles(home, id);
  const places = kind === "firecracker" ? [jailRoot] : [runtime, directory];
  const disks = kind === "firecracker" ? [] : [workDisk, rootDisk, rootFile];
  // Of what this home has nothing, nothing can be held: what such a process hides is no doubt about a VM of this home.
  if (![...places, ...disks].some((each) => statSync(each, { throwIfNoEntry: false }) !== undefined))
    return false;
  try {
    return places.some((place) => isSameFile(`${path}/cwd`, place)) || holds(path, disks);
  } catch (error) {
    // What a process of ours hides from us is unknown; anybody may run something of that name.
    if (hidden(error) && /^Uid:\t(\d+)/m.exec(readProc(`${path}/status`))?.[1] === `${process.getuid?.()}`)
      throw new Error(`${path}/cwd: ${(error as Error).message}`);
    throw error;
  }
}

/** The VM that `pid` serves in this home, as it shows now. */
function vmOfProcess(home: Home, pid: number, procRoot: string): Served | undefined {
  const path = `${procRoot}/${pid}`;
  const cmdline = readProc(`${path}/cmdline`);
  if (!cmdline.includes(marker)) return undefined;
  const argv = parseCmdline(cmdline);
  const guest = vmOfArgv(argv);
  const id = guest ?? vmOfJailedArgv(argv);
  if (id === undefined) return undefined;
  const kind = guest === undefined ? "firecracker" : "qemu";
  const served: Served = { id, kind, accelerator: kind === "qemu" ? acceleratorOf(argv) : "kvm" };
  return isOfHome(home, served, path) ? served : undefined;
}

/** What `pid` serves of this home now; undefined when it is gone. @throws when /proc does not tell. */
export function serves(home: Home, pid: number): Served | undefined {
  try {
    return vmOfProcess(home, pid, "/proc");
  } catch (error) {
    if (vanished(error)) return undefined;
    throw error;
  }
}

/** The VM's VMM, looked for now. @throws BangerError `host_failed` when /proc does not tell. */
export function findVmm(home: Home, id: VmId): FoundVmm | undefined {
  const scan = scanProcesses(home);
  const found = scan.byVm.get(id);
  if (found !== undefined || scan.unreadable === undefined) return found;
  throw new BangerError("host_failed", `/proc cannot be read: ${scan.unreadable}`, { retry: "later" });
}

/**
 * Every VMM of this home. Of two for one VM the older is reported; when it has gone the next scan shows the other.
 * @throws when /proc itself cannot be listed.
 */
export function scanProcesses(home: Home, procRoot = "/proc"): ProcessScan {
  const byVm = new Map<VmId, FoundVmm>();
  let unreadable: string | undefined;
  for (const entry of readdirSync(procRoot)) {
    const first = entry.charCodeAt(0);
    if (first < 48 || first > 57) continue;
    const pid = Number(entry);
    try {
      const served = vmOfProcess(home, pid, procRoot);
      if (served === undefined) continue;
      const { id, kind, accelerator } = served;
      const seen = identify(pid, procRoot);
      if (seen.is === "unknown") unreadable ??= seen.cause;
      if (seen.is !== "present") continue;
      const known = byVm.get(id);
      if (known === undefined || Number(seen.startTime) < Number(known.startTime))
        byVm.set(id, {
          pid,
          startTime: seen.startTime,
          kind,
          accelerator,
          ...(seen.frozen && { frozen: true }),
        });
    } catch (error) {
      if (!vanished(error) && !hidden(error)) unreadable ??= (error as Error).message;
    }
  }
  return { byVm, unreadable };
}
