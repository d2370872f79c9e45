/** Network driver of system mode, by the hand of the helper: bridge, pool of taps, routing of names, taps and NAT of VMs. */
import type { HelperCalls } from "../helper/calls.js";
import type { NetworkDriver } from "./network.js";

/** What all VMs share. */
export interface BridgeDriver {
  ensureBridge(signal: AbortSignal): Promise<void>;
  ensureTapPool(size: number, signal: AbortSignal): Promise<void>;
  /** Where this host has no resolver that can be told, a look says so. */
  ensureResolver(port: number, signal: AbortSignal): Promise<void>;
}

/** A VM's network and policy are refused with `bridge_missing` where there is no bridge. */
export const helperBridge = (helper: HelperCalls): BridgeDriver & NetworkDriver => ({
  async ensureBridge(signal) {
    await helper.call("ensureBridge", {}, signal);
  },
  async ensureTapPool(size, signal) {
    await helper.call("ensureTapPool", { size }, signal);
  },
  async ensureResolver(port, signal) {
    await helper.call("ensureResolver", { port }, signal);
  },
  async ensure(vmId, address, signal) {
    await helper.call("ensureTap", { vmId, address }, signal);
  },
  async ensureNone(vmId, signal) {
    await helper.call("ensureNoTap", { vmId }, signal);
  },
  // The one policy that the bridge knows: the guest has NAT.
  async ensurePolicy(vmId, address, _net, signal) {
    await helper.call("ensureNat", { vmId, address }, signal);
  },
  async ensureNoPolicy(vmId, signal) {
    await helper.call("ensureNoNat", { vmId }, signal);
  },
});
