/** Network driver of system mode, by the hand of the helper: bridge, pool of taps, routing of names, taps and NAT of VMs. */
import type { VmId } from "../../model/model.js";
import type { HelperCalls } from "../helper/calls.js";

export interface BridgeDriver {
  ensureBridge(signal: AbortSignal): Promise<void>;
  ensureTapPool(size: number, signal: AbortSignal): Promise<void>;
  /** Where this host has no resolver that can be told, a look says so. */
  ensureResolver(port: number, signal: AbortSignal): Promise<void>;
  /** @throws BangerError `bridge_missing`, as for NAT */
  ensureTap(id: VmId, address: string, signal: AbortSignal): Promise<void>;
  ensureNoTap(id: VmId, signal: AbortSignal): Promise<void>;
  ensureNat(id: VmId, address: string, signal: AbortSignal): Promise<void>;
  ensureNoNat(id: VmId, signal: AbortSignal): Promise<void>;
}

export const helperBridge = (helper: HelperCalls): BridgeDriver => ({
  async ensureBridge(signal) {
    await helper.call("ensureBridge", {}, signal);
  },
  async ensureTapPool(size, signal) {
    await helper.call("ensureTapPool", { size }, signal);
  },
  async ensureResolver(port, signal) {
    await helper.call("ensureResolver", { port }, signal);
  },
  async ensureTap(vmId, address, signal) {
    await helper.call("ensureTap", { vmId, address }, signal);
  },
  async ensureNoTap(vmId, signal) {
    await helper.call("ensureNoTap", { vmId }, signal);
  },
  async ensureNat(vmId, address, signal) {
    await helper.call("ensureNat", { vmId, address }, signal);
  },
  async ensureNoNat(vmId, signal) {
    await helper.call("ensureNoNat", { vmId }, signal);
  },
});
