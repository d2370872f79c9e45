/** Pure: all effects that one VM or image asks for now, in the order in which they may run. */
import type { Capabilities, Effect, ObservedVm, Vm } from "../model/model.js";
import { recoverAt } from "../model/recovery.js";
import { reconcileDisk, reconcileDiskSize } from "./disk.js";
import { reconcileNetwork } from "./network.js";
import { nextLookAtPause, reconcilePause } from "./pause.js";
import { reconcileProcess } from "./process.js";
import { reconcileClock, reconcileReadiness } from "./readiness.js";
import { reconcileRootDevice } from "./root-device.js";

export { reconcileHost } from "./host.js";
export { reconcileImage } from "./image.js";

/** Things are made from the disk up and unmade from the process down; each reconciler waits for those before it. */
export function reconcileVm(vm: Vm, seen: ObservedVm, capabilities: Capabilities, now: number): Effect[] {
  return [
    ...reconcileProcess(vm, seen, capabilities, now),
    ...reconcilePause(vm, seen, now),
    ...reconcileDisk(vm, seen),
    ...reconcileRootDevice(vm, seen, capabilities),
    ...reconcileReadiness(vm, seen),
    ...reconcileClock(vm, seen, now),
    ...reconcileNetwork(vm, seen, capabilities),
    // Last, because it waits for the guest.
    ...reconcileDiskSize(vm, seen),
  ];
}

/** The next moment (ms since the epoch) at which passing time alone changes what is wanted; null if none is to come. */
export function nextDeadline(vm: Vm, now: number): number | null {
  const wanted = [deadlineOf(vm, now), expiryOf(vm, now)].filter((at) => at !== null && at > now) as number[];
  return wanted.length === 0 ? null : Math.min(...wanted);
}

/** Timers do not reach further than some weeks; until then there are other looks. */
const longestWaitMs = 24 * 60 * 60_000;

function expiryOf({ phase, expiresAt }: Vm, now: number): number | null {
  const over = phase === "deleting" || phase === "deleted";
  return expiresAt === null || over || expiresAt - now > longestWaitMs ? null : expiresAt;
}

function deadlineOf(vm: Vm, now: number): number | null {
  if (vm.phase === "stopping") return vm.stop?.deadlineAt ?? null;
  if (vm.step === "disk") return recoverAt(vm.recoveries);
  return nextLookAtPause(vm, now) ?? vm.bootDeadlineAt;
}
