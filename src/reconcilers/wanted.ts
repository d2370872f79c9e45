/** Pure: what a VM's phase wants of its host: things made, a guest served, or nothing held any more. */
import type { ObservedVm, Vm } from "../model/model.js";

/** The start has not come to the guest yet: no VMM is wanted that was there before. */
export const beforeGuest = (vm: Vm): boolean => vm.phase === "starting" && vm.step !== "agent";

export const guestWanted = (vm: Vm): boolean =>
  vm.phase === "running" || (vm.phase === "starting" && vm.step === "agent");

/** Whatever a start made for the VMM is to go, from the process down. */
export const isOver = ({ phase }: Vm): boolean =>
  phase === "stopped" || phase === "error" || phase === "deleting" || phase === "deleted";

/** Nothing is left of the process, nor of what the kernel keeps for it. */
export const nothingHeld = ({ process, network, policy, rootDevice }: ObservedVm): boolean =>
  [process, network, policy, rootDevice].every(({ is }) => is === "absent");
