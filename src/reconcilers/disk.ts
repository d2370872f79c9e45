/** Pure: the VM's directory with its disks, wanted from the first start step on, gone with the VM; and their size. */
import type { Effect, ObservedVm, Vm } from "../model.js";
import { disksFit } from "../notice.js";
import { beforeGuest, nothingHeld } from "./wanted.js";

export function reconcileDisk(vm: Vm, seen: ObservedVm): Effect[] {
  if (beforeGuest(vm)) {
    if (disksFit(vm, seen) || seen.process.is !== "absent") return [];
    return [
      { kind: "ensureDisk", vmId: vm.id, imageId: vm.imageId, name: vm.name, diskMiB: vm.spec.diskMiB },
    ];
  }
  const goesWithTheVm = vm.phase === "deleting" || vm.phase === "deleted";
  const rolledBack = (vm.phase === "error" || vm.phase === "stopped") && !vm.disksHoldData;
  if (!goesWithTheVm && !rolledBack) return [];
  if (!nothingHeld(seen) || seen.runtime.is !== "absent" || seen.directory.is !== "present") return [];
  return [{ kind: "ensureNoDirectory", vmId: vm.id }];
}

/** A start makes the disk fit by itself; a guest that runs is asked to, until it is seen to be unable. */
export function reconcileDiskSize(vm: Vm, { process, agent, workDisk }: ObservedVm): Effect[] {
  if (vm.phase !== "running" || process.is !== "present" || workDisk.is !== "present") return [];
  if (agent.is !== "present" || !agent.answering || vm.paused !== null) return [];
  const fits = workDisk.miB >= vm.spec.diskMiB && workDisk.growing !== "begun";
  return fits ? [] : [{ kind: "ensureDiskSize", vmId: vm.id, diskMiB: vm.spec.diskMiB }];
}
