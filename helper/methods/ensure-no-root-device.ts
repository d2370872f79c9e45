/** `ensureNoRootDevice`: the snapshot and its loop devices are gone; what they kept in files stays. */
import { ensureNoDevice } from "../devices/ensure.js";
import { thisHost } from "../devices/mapper.js";
import type { Method } from "../method.js";

export const ensureNoRootDevice: Method<"ensureNoRootDevice"> = async ({ vmId }, context) => {
  await ensureNoDevice(vmId, context, thisHost);
  return {};
};
