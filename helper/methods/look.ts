/** One look at everything that the helper ever makes. */
import { lookAtDevices } from "../look-devices.js";
import { lookAtNetwork } from "../look-network.js";
import { lookAtResolver } from "../look-resolver.js";
import type { Method } from "../method.js";

export const look: Method<"look"> = async (_params, context) => {
  const [network, devices, resolver] = await Promise.all([
    lookAtNetwork(context),
    lookAtDevices(context),
    lookAtResolver(context),
  ]);
  return { ...network, ...devices, resolver };
};
