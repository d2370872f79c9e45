/** `startVmm`: the VM's Firecracker, jailed, waiting at its API socket with the VM's files in its chroot. */
import { thisHost } from "../devices/mapper.js";
import { startJailed } from "../jail/start.js";
import type { Method } from "../method.js";

export const startVmm: Method<"startVmm"> = (params, context) => startJailed(params, context, thisHost);
