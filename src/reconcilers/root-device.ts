/** Pure: the device over the VM's root disk, made anew by each start that needs one, gone after the VMM. */

import { rootFits } from "../model/fits.js";
import type { Capabilities, Effect, ObservedVm, Vm } from "../model/model.js";
import { beforeGuest, isOver } from "./wanted.js";

export function reconcileRootDevice(vm: Vm, seen: ObservedVm, capabilities: Capabilities): Effect[] {
  if (seen.process.is !== "absent") return [];
  if (beforeGuest(vm)) {
    if (rootFits(seen, capabilities) || seen.rootDisk.is !== "present") return [];
    return [{ kind: "ensureRootDevice", vmId: vm.id, imageId: vm.imageId }];
  }
  return isOver(vm) && seen.rootDevice.is === "present" ? [{ kind: "ensureNoRootDevice", vmId: vm.id }] : [];
}
