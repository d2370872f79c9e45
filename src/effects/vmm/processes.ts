/** Which process is the VMM, or the network process, of which VM of a home, whatever kind it is. */
import { readdirSync, statSync } from "node:fs";
import { basename } from "node:path";
import { type Home, parseGuestName, vmHandles } from "../../home/handles.js";
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

/** The network process of a VM. */
export interface FoundNetwork extends ProcessIdentity {
  frozen?: true;
}

/** What one scan of /proc found. `unreadable` holds a cause when a process of this user could not be read. */
export interface ProcessScan<V extends VmmSigns = VmmSigns> {
  byVm: ReadonlyMap<VmId, FoundVmm<V>>;
  networks: ReadonlyMap<VmId, FoundNetwork>;
  unreadable: string | undefined;
}

interface Served<V extends VmmSigns> {
  id: VmId;
  vmm: V;
  accelerator: Accelerator;
}

/** Stands in the arguments of every VMM of ours. */
const marker = "banger-";

/** By what a network process (helper/net) is known; the launcher that becomes one counts as one. */
const networkSigns: VmmSigns = {
  kind: "network",
  serves(argv) {
    const at = argv.indexOf("--guest");
    if (at === -1 || !argv.some((word) => basename(word) === "banger-net")) return undefined;
    const id = parseGuestName(argv[at + 1] ?? "");
    return id === undefined ? undefined : { id, accelerator: "tcg" };
  },
  traces: ({ runtime, directory }) => ({ places: [runtime, directory], files: [] }),
};

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
  return certain(scan.byVm.get(id), scan);
}

/** The VM's network process, looked for now. @throws BangerError `host_failed` when /proc does not tell. */
export function findNetwork(home: Home, id: VmId): FoundNetwork | undefined {
  const scan = scanProcesses(home, []);
  return certain(scan.networks.get(id), scan);
}

function certain<T>(found: T | undefined, { unreadable }: ProcessScan): T | undefined {
  if (found !== undefined || unreadable === undefined) return found;
  throw new BangerError("host_failed", `/proc cannot be read: ${unreadable}`, { retry: "later" });
}

/** Of two for one VM the older counts; when it has gone the next scan shows the other. */
function keepOlder<T extends ProcessIdentity>(known: Map<VmId, T>, id: VmId, found: T): void {
  const other = known.get(id);
  if (other === undefined || Number(found.startTime) < Number(other.startTime)) known.set(id, found);
}

/** Every VMM and network process of this home. @throws when /proc itself cannot be listed. */
export function scanProcesses<V extends VmmSigns>(
  home: Home,
  vmms: readonly V[],
  procRoot = "/proc",
): ProcessScan<V> {
  const byVm = new Map<VmId, FoundVmm<V>>();
  const networks = new Map<VmId, FoundNetwork>();
  let unreadable: string | undefined;
  for (const entry of readdirSync(procRoot)) {
    const first = entry.charCodeAt(0);
    if (first < 48 || first > 57) continue;
    const pid = Number(entry);
    try {
      const served = vmOfProcess<V | VmmSigns>(home, [...vmms, networkSigns], pid, procRoot);
      if (served === undefined) continue;
      const { id, vmm, accelerator } = served;
      const seen = identify(pid, procRoot);
      if (seen.is === "unknown") unreadable ??= seen.cause;
      if (seen.is !== "present") continue;
      const { startTime, frozen } = seen;
      const found = { pid, startTime, ...(frozen && { frozen }) };
      if (vmm === networkSigns) keepOlder(networks, id, found);
      else keepOlder(byVm, id, { ...found, vmm: vmm as V, accelerator });
    } catch (error) {
      if (!vanished(error) && !hidden(error)) unreadable ??= (error as Error).message;
    }
  }
  return { byVm, networks, unreadable };
}
