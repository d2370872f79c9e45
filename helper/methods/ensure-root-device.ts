/** `ensureRootDevice`: a snapshot of the image's root disk over the VM's `root.cow`, which the owner may open. */
import { vmHandles } from "../../src/home/handles.js";
import { ensureDevice } from "../devices/ensure.js";
import { thisHost } from "../devices/mapper.js";
import type { Method } from "../method.js";

export const ensureRootDevice: Method<"ensureRootDevice"> = async ({ vmId, imageId }, context) => {
  await ensureDevice(vmId, imageId, context, thisHost);
  return { device: `/dev/mapper/${vmHandles(context.metadata.home, vmId).deviceName}` };
};
