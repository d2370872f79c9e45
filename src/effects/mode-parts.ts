/** What a mode decides: which drivers fill the places of VMM, disk and network. Everything else is the same in both. */
import type { AddressRange } from "../addresses.js";
import { BangerError } from "../errors.js";
import type { Capabilities } from "../model.js";
import { overlayRoot } from "./disk-overlay.js";
import type { RootForm } from "./disks.js";
import { type HelperSight, sightOf } from "./helper-look.js";
import type { BridgeDriver } from "./net-bridge.js";
import type { RootDeviceDriver } from "./root-device.js";
import type { VmmControls } from "./vmm-controls.js";
import type { Vmm, VmmDriverOptions } from "./vmm-driver.js";

export interface ModeParts {
  capabilities: Capabilities;
  /** Where VMs have their addresses from. */
  addresses: AddressRange;
  root: RootForm;
  rootDevices: RootDeviceDriver;
  bridge: BridgeDriver;
  /** Every kind of VMM that may run here, and which of them runs what is started from now on. */
  vmms(qemu: Vmm, controls: VmmControls): Pick<VmmDriverOptions, "vmms" | "starts">;
  /** One look at what only root can see. */
  look(): Promise<HelperSight>;
  /** Names of VMs are answered at this port of 127.0.0.1. */
  namesServedAt(port: number): void;
  /** Lets go; everything stays as it is. */
  close(): Promise<void>;
}

/** What nothing asks for where the capabilities say that there is no such thing. */
const notHere = async (): Promise<never> => {
  throw new BangerError("not_here", "user mode has neither a bridge nor root devices");
};

/** QEMU with a network and an overlay of its own, and nothing that needs root. */
export const userParts = (qemuImg: string, addresses: AddressRange): ModeParts => ({
  capabilities: { userNetworking: true, bridgeNetworking: false, portForwarding: true, rootDevice: false },
  addresses,
  root: overlayRoot(qemuImg),
  rootDevices: { ensure: notHere, ensureNone: notHere },
  bridge: { ensureTap: notHere, ensureNoTap: notHere, ensureNat: notHere, ensureNoNat: notHere },
  vmms: (qemu) => ({ vmms: { qemu }, starts: qemu }),
  look: async () => sightOf(undefined),
  namesServedAt: () => {},
  close: async () => {},
});
