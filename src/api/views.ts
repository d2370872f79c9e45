/** Pure: the state and an observation as the API shows them. */
import type { VmView } from "../contract/contract.js";
import type { DaemonView } from "../contract/daemon.js";
import type { ImageView } from "../contract/images.js";
import { pauseText } from "../core/explain.js";
import { memoryLimitMiB, promisedMiB, type Room, reserveOf } from "../core/room.js";
import { type Home, vmHandles } from "../home/handles.js";
import { growthOf, wantedSizes } from "../model/disk-growth.js";
import {
  type Capabilities,
  type Image,
  type ImageSource,
  type Observed,
  type ObservedVm,
  type State,
  startFields,
  type Vm,
} from "../model/model.js";

/** A time as the API and its JSON have it. */
export const rfc3339 = (at: number): string => new Date(at).toISOString();
const rfc3339OrNull = (at: number | null): string | null => (at === null ? null : rfc3339(at));

/** What an observation says of one VM, whether it lists the VM or not. */
export const seenOf = (observed: Observed, vm: Vm): ObservedVm =>
  observed.vms.get(vm.id) ?? observed.unlistedVm;

function diskSizeOf(vm: Vm, seen: ObservedVm): VmView["diskSize"] {
  const growth = growthOf(vm, seen);
  if (growth === "no") return "fits";
  return vm.phase === "running" && growth !== "at_start" ? "growing" : "at_start";
}

/** What the guest that runs has: its VMM keeps what it was started with. */
export function specNow({ startedWith }: Vm): VmView["now"] {
  return startedWith && { vcpu: startedWith.vcpu, memoryMiB: startedWith.memoryMiB };
}

export function vmView(
  state: State,
  vm: Vm,
  seen: ObservedVm,
  { home, capabilities }: { home: Home; capabilities: Capabilities },
): VmView {
  const { consoleLog, vmmLog } = vmHandles(home, vm.id);
  const now = specNow(vm);
  return {
    id: vm.id,
    name: vm.name,
    phase: vm.phase,
    step: vm.step,
    image: state.images[vm.imageId]?.name ?? vm.imageId,
    spec: vm.spec,
    now,
    afterRestart: startFields.filter((field) => now !== null && now[field] !== vm.spec[field]),
    address: vm.address,
    labels: vm.labels,
    expiresAt: rfc3339OrNull(vm.expiresAt),
    createdAt: rfc3339(vm.createdAt),
    changedAt: rfc3339(vm.changedAt),
    startedAt: rfc3339OrNull(vm.startedAt),
    readyAt: rfc3339OrNull(vm.readyAt),
    bootedAt: rfc3339OrNull(vm.bootedAt),
    error: vm.error,
    lastExit: vm.lastExit && { ...vm.lastExit, at: rfc3339(vm.lastExit.at) },
    paused: vm.paused && {
      cause: vm.paused.cause,
      detail: pauseText[vm.paused.cause],
      at: rfc3339(vm.paused.at),
    },
    pid: seen.process.is === "present" ? seen.process.pid : null,
    accelerator: (seen.process.is === "present" && seen.process.accelerator) || null,
    forwards: seen.forwards.is === "present" ? seen.forwards.list : [],
    diskSize: diskSizeOf(vm, seen),
    consoleLog,
    vmmLog,
    seq: state.seq,
  };
}

export function imageView(state: State, image: Image): ImageView {
  return {
    id: image.id,
    name: image.name,
    phase: image.phase,
    stage: image.stage,
    source: sourceText(image.source),
    sizeBytes: image.sizeBytes,
    error: image.error,
    createdAt: rfc3339(image.createdAt),
    changedAt: rfc3339(image.changedAt),
    seq: state.seq,
  };
}

/** What an image is made from, in words. */
function sourceText(source: ImageSource): string {
  switch (source.kind) {
    case "catalog":
      return "catalog";
    case "oci":
      return `${source.reference.replace(/@.*/, "")}@${source.digest}`;
    case "files":
      return `files: ${source.rootfs}`;
    case "copy":
      return `copy of ${source.imageId}`;
    case "directory":
      return source.path;
    default:
      return source satisfies never;
  }
}

/** How many VMs are in each phase; deleted ones are not counted. */
export function phaseCounts(state: State): DaemonView["vms"] {
  const counts: Record<string, number> = {};
  for (const { phase } of Object.values(state.vms)) {
    if (phase !== "deleted") counts[phase] = (counts[phase] ?? 0) + 1;
  }
  return counts;
}

/** What VMs have of this machine, and may have. */
export function roomView(state: State, room: Room): DaemonView["room"] {
  const disk = room.host.stateDisk;
  const sizes = Object.values(state.vms)
    .filter(({ phase }) => phase !== "deleted")
    .map(wantedSizes);
  const promised = sizes.reduce((sum, { diskMiB, rootMiB }) => sum + diskMiB + rootMiB, 0);
  return {
    memoryMiB: { promised: promisedMiB(state), limit: memoryLimitMiB(room) },
    diskMiB: disk.is === "present" ? { promised, free: disk.freeMiB, reserve: reserveOf(disk, room) } : null,
  };
}

/** What VMs share on their host, where this mode has such a thing. */
export const networkView = ({ phase, changedAt, error }: State["host"]): DaemonView["network"] =>
  phase === "unused" ? null : { phase, since: rfc3339(changedAt), error };

/** Paths at which two JSON values differ, at most `limit` of them. */
export function differences(left: unknown, right: unknown, path = "", limit = 20): string[] {
  if (Object.is(left, right)) return [];
  if (typeof left !== "object" || typeof right !== "object" || left === null || right === null) {
    return [path === "" ? "/" : path];
  }
  const found: string[] = [];
  for (const key of new Set([...Object.keys(left), ...Object.keys(right)])) {
    const [a, b] = [(left as Record<string, unknown>)[key], (right as Record<string, unknown>)[key]];
    found.push(...differences(a, b, `${path}/${key}`, limit - found.length));
    if (found.length >= limit) break;
  }
  return found;
}
