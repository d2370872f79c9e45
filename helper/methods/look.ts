/** One look at everything that the helper ever makes. */
import { lookAtDevices } from "../look-devices.js";
import { lookAtNetwork } from "../look-network.js";
import type { Method } from "../method.js";

export const look: Method<"look"> = async (_params, context) => {
  const [network, devices] = await Promise.all([lookAtNetwork(context), lookAtDevices(context)]);
  return { ...network, ...devices };
};
