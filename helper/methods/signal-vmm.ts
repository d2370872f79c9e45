/** `signalVmm`: to this very process, if it is the VM's jailed Firecracker; one that is gone is success. */
import { isVmm, signalIf, startTimeOf } from "../jail/vmm.js";
import type { Method } from "../method.js";
import { Refusal } from "../refusal.js";

/**
 * A jailed Firecracker is the first process of its pid namespace: it heeds SIGKILL, and of the others only those that
 * it has a handler for. @throws Refusal `vmm-of-the-vm`
 */
export const signalVmm: Method<"signalVmm"> = async ({ vmId, pid, startTime, signal }, { metadata }) => {
  signalIf(pid, signal, () => {
    // The pid has become another's, or nobody's: who was meant is gone.
    if (startTimeOf(pid) !== startTime) return false;
    if (isVmm(pid, vmId, metadata)) return true;
    // It may have ended while it was looked at.
    if (startTimeOf(pid) !== startTime) return false;
    throw new Refusal("vmm-of-the-vm", `process ${pid} is not the Firecracker of VM ${vmId}`);
  });
  return {};
};
