/** Which process is the VMM of which VM of a home, whatever kind it is. */
import { readdirSync, statSync } from "node:fs";
import { type Home, vmHandles } from "../../home/handles.js";
import { hidden, identify, parseCmdline, readProc, vanished } from "../../host/processes.js";
import { BangerError } from "../../lib/errors.js";
import type { Accelerator, ProcessIdentity, VmId } from "../../model/model.js";
import type { VmmSigns } from "./vmm.js";

export interface FoundVmm<V extends VmmSigns = VmmSigns> extends ProcessIdentity {
  vmm: V;
  accelerator?: Accelerator;
  /** A signal has stopped it. */
  frozen?: true;
}

/** What one scan of /proc found. `unreadable` holds a cause when a process of this user could not be read. */
export interface ProcessScan<V extends VmmSigns = VmmSigns> {
  byVm: ReadonlyMap<VmId, FoundVmm<V>>;
  unreadable: string | undefined;
}

interface Served<V extends VmmSigns> {
  id: VmId;
  vmm: V;
  accelerator: Accelerator;
}

/** Stands in the arguments of every VMM of ours. */
const marker = "banger-";

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
function isOfHome(home: Home, { id, vmm }: Served<VmmSigns>, path: string): boolean {
  const { places, files } = vmm.traces(vmHandles(home, id));
  // Of what this home has nothing, nothing can be held: what such a process hides is no doubt about a VM of this home.
  if (![...places, ...files].some((each) => statSync(each, { throwIfNoEntry: false }) !== undefined))
    return false;
  try {
    return places.some((place) => isSameFile(`${path}/cwd`, place)) || holds(path, files);
  } catch (error) {
    // What a process of ours hides from us is unknown; anybody may run something of that name.
    if (hidden(error) && /^Uid:\t(\d+)/m.exec(readProc(`${path}/status`))?.[1] === `${process.getuid?.()}`)
      throw new Error(`${path}/cwd: ${(error as Error).message}`);
    throw error;
  }
}

/** The VM that `pid` serves in this home, as it shows now. */
function vmOfProcess<V extends VmmSigns>(
  home: Home,
  vmms: readonly V[],
  pid: number,
  procRoot: string,
): Served<V> | undefined {
  const path = `${procRoot}/${pid}`;
  const cmdline = readProc(`${path}/cmdline`);
  if (!cmdline.includes(marker)) return undefined;
  const argv = parseCmdline(cmdline);
  for (const vmm of vmms) {
    const said = vmm.serves(argv);
    if (said !== undefined) return isOfHome(home, { ...said, vmm }, path) ? { ...said, vmm } : undefined;
  }
  return undefined;
}

/** What `pid` serves of this home now; undefined when it is gone. @throws when /proc does not tell. */
export function servedBy<V extends VmmSigns>(
  home: Home,
  vmms: readonly V[],
  pid: number,
): Served<V> | undefined {
  try {
    return vmOfProcess(home, vmms, pid, "/proc");
  } catch (error) {
    if (vanished(error)) return undefined;
    throw error;
  }
}

/** The VM's VMM, looked for now. @throws BangerError `host_failed` when /proc does not tell. */
export function findVmm<V extends VmmSigns>(
  home: Home,
  vmms: readonly V[],
  id: VmId,
): FoundVmm<V> | undefined {
  const scan = scanProcesses(home, vmms);
  const found = scan.byVm.get(id);
  if (found !== undefined || scan.unreadable === undefined) return found;
  throw new BangerError("host_failed", `/proc cannot be read: ${scan.unreadable}`, { retry: "later" });
}

/**
 * Every VMM of this home. Of two for one VM the older is reported; when it has gone the next scan shows the other.
 * @throws when /proc itself cannot be listed.
 */
export function scanProcesses<V extends VmmSigns>(
  home: Home,
  vmms: readonly V[],
  procRoot = "/proc",
): ProcessScan<V> {
  const byVm = new Map<VmId, FoundVmm<V>>();
  let unreadable: string | undefined;
  for (const entry of readdirSync(procRoot)) {
    const first = entry.charCodeAt(0);
    if (first < 48 || first > 57) continue;
    const pid = Number(entry);
    try {
      const served = vmOfProcess(home, vmms, pid, procRoot);
      if (served === undefined) continue;
      const { id, vmm, accelerator } = served;
      const seen = identify(pid, procRoot);
      if (seen.is === "unknown") unreadable ??= seen.cause;
      if (seen.is !== "present") continue;
      const { startTime, frozen } = seen;
      const known = byVm.get(id);
      if (known === undefined || Number(startTime) < Number(known.startTime))
        byVm.set(id, { pid, startTime, vmm, accelerator, ...(frozen && { frozen }) });
    } catch (error) {
      if (!vanished(error) && !hidden(error)) unreadable ??= (error as Error).message;
    }
  }
  return { byVm, unreadable };
}
