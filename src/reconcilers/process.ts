/** Pure: the VMM process, wanted from the process step until a stop, and its sockets, gone after it. */

import { disksFit, networkFits, rootFits } from "../model/fits.js";
import type { Capabilities, Effect, ObservedVm, ProcessIdentity, Vm } from "../model/model.js";
import { nothingHeld } from "./wanted.js";

export function reconcileProcess(
  vm: Vm,
  seen: ObservedVm,
  capabilities: Capabilities,
  now: number,
): Effect[] {
  if (seen.process.is === "present" && seen.process.idle) return [ensureNoProcess(vm, seen.process)];
  switch (vm.phase) {
    case "starting":
      // Before its step, a process can only be one that an earlier start left behind.
      if ((vm.step === "disk" || vm.step === "network") && seen.process.is === "present")
        return [ensureNoProcess(vm, seen.process)];
      return vm.step === "process" && canRun(vm, seen, capabilities) ? [ensureProcess(vm)] : [];
    case "running":
      return [];
    case "stopping":
      return reconcileStopping(vm, seen, now);
    default:
      if (seen.process.is === "present") {
        return [ensureNoProcess(vm, seen.process)];
      }
      if (nothingHeld(seen) && seen.runtime.is === "present") {
        return [{ kind: "ensureNoRuntime", vmId: vm.id }];
      }
      return [];
  }
}

/** What the steps before made is still there: a host that was restarted meanwhile has lost all but the files. */
const canRun = (vm: Vm, seen: ObservedVm, capabilities: Capabilities): boolean =>
  seen.process.is === "absent" &&
  disksFit(vm, seen) &&
  rootFits(seen, capabilities) &&
  networkFits(vm, seen, capabilities);

function reconcileStopping(vm: Vm, seen: ObservedVm, now: number): Effect[] {
  if (seen.process.is !== "present" || vm.stop === null) return [];
  if (vm.stop.mode === "kill" || now >= vm.stop.deadlineAt) {
    return [ensureNoProcess(vm, seen.process)];
  }
  return vm.stop.asked ? [] : [{ kind: "ensureShutdownAsked", vmId: vm.id }];
}

const ensureProcess = (vm: Vm): Effect => ({
  kind: "ensureProcess",
  vmId: vm.id,
  imageId: vm.imageId,
  name: vm.name,
  spec: vm.startedWith ?? vm.spec,
  address: vm.address,
});

const ensureNoProcess = (vm: Vm, { pid, startTime }: ProcessIdentity): Effect => ({
  kind: "ensureNoProcess",
  vmId: vm.id,
  process: { pid, startTime },
});
