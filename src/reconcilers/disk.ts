/** Pure: the VM's directory with its disks, wanted from the first start step on, gone with the VM; and their size. */

import { growthOf, wantedSizes } from "../model/disk-growth.js";
import { disksFit } from "../model/fits.js";
import type { Effect, ObservedVm, Vm } from "../model/model.js";
import { beforeGuest, nothingHeld } from "./wanted.js";

export function reconcileDisk(vm: Vm, seen: ObservedVm): Effect[] {
  if (beforeGuest(vm)) {
    if (disksFit(vm, seen) || seen.process.is !== "absent") return [];
    return [{ kind: "ensureDisk", vmId: vm.id, imageId: vm.imageId, name: vm.name, ...wantedSizes(vm) }];
  }
  const goesWithTheVm = vm.phase === "deleting" || vm.phase === "deleted";
  const rolledBack = (vm.phase === "error" || vm.phase === "stopped") && !vm.disksHoldData;
  if (!goesWithTheVm && !rolledBack) return [];
  if (!nothingHeld(seen) || seen.runtime.is !== "absent" || seen.directory.is !== "present") return [];
  return [{ kind: "ensureNoDirectory", vmId: vm.id }];
}

/** A start makes the disks fit by itself; a guest that runs is asked to, until it is seen to be unable. */
export function reconcileDiskSize(vm: Vm, seen: ObservedVm): Effect[] {
  const { process, agent, workDisk, rootDisk } = seen;
  if (vm.phase !== "running" || process.is !== "present") return [];
  if (workDisk.is !== "present" || rootDisk.is !== "present") return [];
  if (agent.is !== "present" || !agent.answering || vm.paused !== null) return [];
  const growth = growthOf(vm, seen);
  if (growth !== null && growth !== "begun") return [];
  return [{ kind: "ensureDiskSize", vmId: vm.id, ...wantedSizes(vm) }];
}
