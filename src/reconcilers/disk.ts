/** Pure: the VM's directory with its disks, wanted from the first start step on and gone with the VM. */
import type { Effect, ObservedVm, Vm } from "../model.js";
import { disksFit } from "../notice.js";

export function reconcileDisk(vm: Vm, seen: ObservedVm): Effect[] {
  if (vm.phase === "starting" && vm.step === "disk") {
    if (disksFit(vm, seen) || seen.process.is !== "absent") return [];
    return [
      { kind: "ensureDisk", vmId: vm.id, imageId: vm.imageId, name: vm.name, diskMiB: vm.spec.diskMiB },
    ];
  }
  const goesWithTheVm = vm.phase === "deleting" || vm.phase === "deleted";
  const rolledBack = (vm.phase === "error" || vm.phase === "stopped") && !vm.disksHoldData;
  if (!goesWithTheVm && !rolledBack) return [];
  if (seen.process.is !== "absent" || seen.runtime.is !== "absent" || seen.directory.is !== "present")
    return [];
  return [{ kind: "ensureNoDirectory", vmId: vm.id }];
}
