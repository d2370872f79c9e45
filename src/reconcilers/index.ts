/** Pure: all effects that one VM or image asks for now, in the order in which they may run. */
import type { Capabilities, Effect, ObservedVm, Vm } from "../model.js";
import { reconcileDisk } from "./disk.js";
import { reconcileNetwork } from "./network.js";
import { reconcileProcess } from "./process.js";
import { reconcileReadiness } from "./readiness.js";

export { reconcileImage } from "./image.js";

/** Things are made from the disk up and unmade from the process down; each reconciler waits for those before it. */
export function reconcileVm(vm: Vm, seen: ObservedVm, capabilities: Capabilities, now: number): Effect[] {
  return [
    ...reconcileProcess(vm, seen, now),
    ...reconcileDisk(vm, seen),
    ...reconcileReadiness(vm, seen),
    ...reconcileNetwork(vm, seen, capabilities),
  ];
}

/** The next moment (ms since the epoch) at which passing time alone changes what is wanted; null if none. */
export function nextDeadline(vm: Vm): number | null {
  if (vm.phase === "stopping") return vm.stop?.deadlineAt ?? null;
  return vm.phase === "starting" ? vm.bootDeadlineAt : null;
}
