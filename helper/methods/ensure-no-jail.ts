/** `ensureNoJail`: the VM's chroot and its control group are gone; refused while its Firecracker runs. */
import { removeJail } from "../jail/remove.js";
import { findVmm } from "../jail/vmm.js";
import type { Method } from "../method.js";
import { Refusal } from "../refusal.js";

/** @throws Refusal `vmm-runs` and those of place.ts; HostFailure */
export const ensureNoJail: Method<"ensureNoJail"> = async ({ vmId }, context) => {
  const running = findVmm(vmId, context.metadata);
  if (running !== undefined)
    throw new Refusal("vmm-runs", `the Firecracker of VM ${vmId} runs as process ${running.pid}`);
  await removeJail(vmId, context);
  return {};
};
