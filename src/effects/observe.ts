/** One look at the whole host: what is there of each VM and image, told as present, absent or unknown. */
import { readdirSync, readFileSync, statfsSync, statSync } from "node:fs";
import {
  atStartMark,
  type Home,
  homeHandles,
  imageHandles,
  isKernelId,
  isVmId,
  parseImageDirectory,
  parseVmDirectory,
  type VmHandles,
  vmHandles,
} from "../home/handles.js";
import type { SeenPartial } from "../images/store.js";
import { absentVm } from "../model/absent.js";
import type {
  Forward,
  Growing,
  ImageId,
  Observed,
  ObservedImage,
  ObservedVm,
  Seen,
  SeenDisk,
  SeenPause,
  VmId,
} from "../model/model.js";
import type { AgentLinks, GuestAgent } from "./agent/links.js";
import type { RootForm } from "./disk/disks.js";
import { type HeldByKernel, type HelperSight, runtimeOf } from "./helper/look.js";
import type { NetworkControls } from "./net/controls.js";
import { lookAtNetwork } from "./net/look.js";
import type { LoopbackForwards } from "./net/loopback-forwards.js";
import type { Resolvers } from "./net/resolvers.js";
import type { VmmControls } from "./vmm/controls.js";
import { type ProcessScan, scanProcesses } from "./vmm/processes.js";
import type { Vmm } from "./vmm/vmm.js";

/** What is looked at beside files and processes. */
export interface Instruments {
  home: Home;
  /** Every kind of which a VM may have a process. */
  vmms: readonly Vmm[];
  controls: VmmControls;
  /** Network processes; null where the network is not made of such. */
  networks: { controls: NetworkControls; resolvers: Pick<Resolvers, "now"> } | null;
  links: AgentLinks<GuestAgent>;
  /** Forwards that are this daemon's own. */
  own: Pick<LoopbackForwards, "list">;
  /** An image's own directory, which is there: whole, or not. */
  inspectImage: (id: ImageId) => ObservedImage["image"];
  lookAtPartial: (id: ImageId) => SeenPartial;
  /** The file that is the VM's root disk, whole or in part. */
  root: Pick<RootForm, "path" | "bytes">;
}

const present = { is: "present" } as const;
const absent = { is: "absent" } as const;
const unknown = (error: unknown) => ({ is: "unknown", cause: (error as Error).message }) as const;

/** The names in a directory; one that is not there has none. */
function list(path: string): Seen<{ names: string[] }> {
  try {
    return { is: "present", names: readdirSync(path) };
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT" ? absent : unknown(error);
  }
}

const namesIn = (seen: Seen<{ names: string[] }>): string[] => (seen.is === "present" ? seen.names : []);

/** What a listing says of a name that it does not have. */
const absentUnlessUnknown = (seen: Seen<{ names: string[] }>) => (seen.is === "unknown" ? seen : absent);

function lookAtProcesses({ home, vmms }: Instruments): ProcessScan<Vmm> {
  try {
    return scanProcesses(home, vmms);
  } catch (error) {
    return { byVm: new Map(), networks: new Map(), unreadable: (error as Error).message };
  }
}

function growingOf(path: string, mark: Seen): Growing {
  if (mark.is !== "present") return "no";
  try {
    return readFileSync(path, "utf8") === atStartMark ? "at_start" : "begun";
  } catch (error) {
    // It went after the directory was listed.
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "no";
    throw error;
  }
}

/** A disk that is there, with its size. */
function sized(disk: Seen, bytes: () => number, markPath: string, mark: Seen): SeenDisk {
  if (disk.is !== "present") return disk;
  try {
    return { ...present, miB: Math.floor(bytes() / 2 ** 20), growing: growingOf(markPath, mark) };
  } catch (error) {
    return unknown(error);
  }
}

type Files = Pick<ObservedVm, "directory" | "rootDisk" | "workDisk" | "seed">;

function lookAtFiles(instruments: Instruments, id: VmId, removed: boolean): Files {
  const handles = vmHandles(instruments.home, id);
  const { directory, workDisk, growingMark, rootGrowingMark, seed } = handles;
  const rootDisk = instruments.root.path(handles);
  const listing = list(directory);
  const at = (path: string): Seen => {
    if (listing.is !== "present") return listing;
    return listing.names.includes(path.slice(directory.length + 1)) ? present : absent;
  };
  // Of what cannot grow nothing is asked.
  const rootBytes = instruments.root.bytes ?? (() => 0);
  const own = listing.is === "unknown" ? listing : listing.is === "present" || removed ? present : absent;
  return {
    directory: own,
    rootDisk: sized(at(rootDisk), () => rootBytes(handles), rootGrowingMark, at(rootGrowingMark)),
    workDisk: sized(at(workDisk), () => statSync(workDisk).size, growingMark, at(growingMark)),
    seed: at(seed),
  };
}

/** What the network process has and what this daemon has; who leads where is in each. */
const withOwn = (forwards: ObservedVm["forwards"], own: readonly Forward[]): ObservedVm["forwards"] =>
  forwards.is === "present" ? { is: "present", list: [...forwards.list, ...own] } : forwards;

/** With what room there is for a guest that waits for some; where that cannot be told, none. */
function pauseOf(cause: ReturnType<VmmControls["pause"]>, directory: string): SeenPause | undefined {
  if (cause === undefined || cause === "unasked") return cause;
  if (cause !== "host_disk_full") return { cause };
  try {
    const { bavail, bsize } = statfsSync(directory);
    return { cause, freeMiB: Math.floor((bavail * bsize) / 2 ** 20) };
  } catch {
    return { cause, freeMiB: 0 };
  }
}

/** What the scan says of a VM; one that is about to tell how it ended is not gone before it has. */
function lookAtProcess(
  id: VmId,
  scan: ProcessScan,
  controls: VmmControls,
  directory: string,
): ObservedVm["process"] {
  const found = scan.byVm.get(id);
  if (found !== undefined) {
    const { pid, startTime, accelerator } = found;
    const guest = controls.guest(id);
    if (guest === "unasked")
      return { is: "unknown", cause: "the VMM has not reported yet whether a guest is running" };
    const pause = pauseOf(found.frozen ? "frozen" : controls.pause(id), directory);
    return {
      is: "present",
      pid,
      startTime,
      ...(accelerator && { accelerator }),
      ...(guest === "idle" && { idle: true }),
      ...(pause && { pause }),
    };
  }
  if (scan.unreadable !== undefined) return { is: "unknown", cause: scan.unreadable };
  return controls.isHeld(id) ? { is: "unknown", cause: "the VMM is exiting" } : absent;
}

/** Keys of both kinds of VM directory: whether the VM has its own, and whether a removed one is left. */
function vmDirectories(names: readonly string[]): Map<VmId, { removed: boolean }> {
  const found = new Map<VmId, { removed: boolean }>();
  for (const name of names) {
    const parsed = parseVmDirectory(name);
    if (parsed === undefined) continue;
    const removed = parsed.removed || (found.get(parsed.id)?.removed ?? false);
    found.set(parsed.id, { removed });
  }
  return found;
}

function lookAtVms(instruments: Instruments, sight: HelperSight): Pick<Observed, "vms" | "unlistedVm"> {
  const { home, controls, networks, links, own } = instruments;
  const { vms: vmsPath, runtimeVms } = homeHandles(home);
  const scan = lookAtProcesses(instruments);
  const listing = list(vmsPath);
  const runtimes = list(runtimeVms);
  controls.follow(scan.byVm);
  networks?.controls.follow(scan.networks);
  const resolvers = networks?.resolvers.now().key ?? "";
  const directories = vmDirectories(namesIn(listing));
  const runtimeIds = new Set(namesIn(runtimes).filter(isVmId));
  const noFiles = absentUnlessUnknown(listing);
  const heldOf = ({ jail, ...held }: HeldByKernel, runtime: Seen) => ({
    ...held,
    runtime: runtimeOf(runtime, jail),
  });
  const unlistedVm: ObservedVm = {
    ...absentVm,
    directory: noFiles,
    rootDisk: noFiles,
    workDisk: noFiles,
    seed: noFiles,
    ...heldOf(sight.unlisted, absentUnlessUnknown(runtimes)),
    process: scan.unreadable === undefined ? absent : { is: "unknown", cause: scan.unreadable },
  };
  const vms = new Map<VmId, ObservedVm>();
  const found = [
    directories.keys(),
    runtimeIds,
    scan.byVm.keys(),
    scan.networks.keys(),
    controls.ids(),
    sight.ids,
  ];
  for (const id of new Set(found.flatMap((ids) => [...ids]))) {
    const directory = directories.get(id);
    const files = directory === undefined ? {} : lookAtFiles(instruments, id, directory.removed);
    const process = lookAtProcess(id, scan, controls, vmHandles(home, id).directory);
    const exit = process.is === "absent" ? controls.exit(id) : undefined;
    const { forwards, ...network } =
      networks === null ? { forwards: absent } : lookAtNetwork(id, scan, networks.controls, resolvers);
    vms.set(id, {
      ...unlistedVm,
      ...files,
      ...heldOf(sight.of(id), runtimeIds.has(id) ? present : absentUnlessUnknown(runtimes)),
      process,
      ...network,
      ...(exit === undefined ? {} : { exit }),
      ...(process.is === "absent"
        ? {}
        : {
            agent: links.agent(id),
            forwards: withOwn(forwards, own.list(id)),
            listeners: links.listeners(id),
          }),
    });
  }
  controls.forgetExitsBut((id) => vms.has(id));
  return { vms, unlistedVm };
}

/** What another home builds does not belong to this one. */
const partialOf = ({ building, elsewhere }: SeenPartial): ObservedImage["partial"] =>
  elsewhere ? { is: "absent" } : { ...present, building };

function lookAtImages(instruments: Instruments): Pick<Observed, "images" | "unlistedImage"> {
  const places = homeHandles(instruments.home);
  const [listing, kernels] = [list(places.images), list(places.kernels)];
  const nothing = absentUnlessUnknown(listing.is === "unknown" ? listing : kernels);
  const unlistedImage: ObservedImage = { image: nothing, partial: nothing };
  const images = new Map<ImageId, ObservedImage>();
  const names = [
    ...namesIn(listing).filter((name) => !isKernelId(name)),
    ...namesIn(kernels).filter(isKernelId),
  ];
  for (const name of names) {
    const parsed = parseImageDirectory(name);
    if (parsed === undefined) continue;
    const { id, partial } = parsed;
    const before = images.get(id) ?? unlistedImage;
    const after = partial
      ? { ...before, partial: partialOf(instruments.lookAtPartial(id)) }
      : { ...before, image: instruments.inspectImage(id) };
    images.set(id, after);
  }
  return { images, unlistedImage };
}

/** Looks once. Never throws: what could not be seen is unknown. `sight` is what the helper saw just before. */
export function look(instruments: Instruments, sight: HelperSight): Observed {
  return { ...lookAtVms(instruments, sight), ...lookAtImages(instruments), network: sight.network };
}

/** What handles.json shows: for people, and never read by banger. */
export function describeHandles(home: Home, { vms, images }: Observed): object {
  const running = [...vms].map(([id, { process, network, policy, rootDevice }]) => {
    const { directory, runtime, ...names } = vmHandles(home, id);
    const held = {
      ...(rootDevice.is === "present" && { rootDevice: names.rootDevice }),
      ...(network.is === "present" && { network: network.whole ? "whole" : "damaged" }),
      ...(policy.is === "present" && { policy: policy.key }),
    };
    const identity =
      process.is === "present" ? { pid: process.pid, startTime: process.startTime } : { process: process.is };
    return [id, { directory, runtime, ...held, ...identity }];
  });
  const built = [...images.keys()].map((id) => [id, { directory: imageHandles(home, id).directory }]);
  return { vms: Object.fromEntries(running), images: Object.fromEntries(built) };
}
