/** Root devices through the helper: a snapshot of the image's root disk over the VM's own file. */
import type { ImageId, VmId } from "../../model/model.js";
import type { HelperCalls } from "../helper/calls.js";

export interface RootDeviceDriver {
  ensure(id: VmId, imageId: ImageId, signal: AbortSignal): Promise<void>;
  ensureNone(id: VmId, signal: AbortSignal): Promise<void>;
}

export const helperRootDevices = (helper: HelperCalls): RootDeviceDriver => ({
  async ensure(vmId, imageId, signal) {
    await helper.call("ensureRootDevice", { vmId, imageId }, signal);
  },
  async ensureNone(vmId, signal) {
    await helper.call("ensureNoRootDevice", { vmId }, signal);
  },
});
