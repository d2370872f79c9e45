/** Pure: a guest that was paused because its host's disk was full resumes as soon as there is space. */
import type { Effect, ObservedVm, Vm } from "../model/model.js";
import { recoverAt } from "../model/recovery.js";
import { guestWanted } from "./wanted.js";

/** Less would be full again in the next moment. */
const roomMiB = 32;
/** Nobody tells when a file system has room again. */
const lookAgainMs = 5_000;

export function reconcilePause(vm: Vm, { process }: ObservedVm, now: number): Effect[] {
  if (!guestWanted(vm) || vm.paused?.cause !== "host_disk_full" || process.is !== "present") return [];
  const { pause } = process;
  if (pause === undefined || pause === "unasked" || pause.cause !== "host_disk_full") return [];
  return pause.freeMiB >= roomMiB && now >= recoverAt(vm.recoveries)
    ? [{ kind: "ensureRunning", vmId: vm.id }]
    : [];
}

/** When to look for room again; null for a guest that does not wait for any. */
export const nextLookForRoom = (vm: Vm, now: number): number | null =>
  guestWanted(vm) && vm.paused?.cause === "host_disk_full"
    ? Math.max(now + lookAgainMs, recoverAt(vm.recoveries))
    : null;
