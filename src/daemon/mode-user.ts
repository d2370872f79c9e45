/** What a mode decides: which drivers fill the places of disk and network. Everything else is the same in both. */

import type { RootForm } from "../effects/disk/disks.js";
import { overlayRoot } from "../effects/disk/overlay.js";
import type { RootDeviceDriver } from "../effects/disk/root-device.js";
import { type HelperSight, sightOf } from "../effects/helper/look.js";
import type { BridgeDriver } from "../effects/net/bridge.js";
import type { AddressRange } from "../home/addresses.js";
import { BangerError } from "../lib/errors.js";
import type { Capabilities } from "../model/model.js";

export interface ModeParts {
  capabilities: Capabilities;
  /** Where VMs have their addresses from. */
  addresses: AddressRange;
  root: RootForm;
  rootDevices: RootDeviceDriver;
  bridge: BridgeDriver;
  /** One look at what only root can see. */
  look(): Promise<HelperSight>;
  /** Lets go; everything stays as it is. */
  close(): Promise<void>;
}

/** What nothing asks for where the capabilities say that there is no such thing. */
const notHere = async (): Promise<never> => {
  throw new BangerError("not_here", "user mode has neither a bridge nor root devices");
};

/** A VMM with a network and an overlay of its own, and nothing that needs root. */
export const userParts = (qemuImg: string, addresses: AddressRange): ModeParts => ({
  capabilities: { userNetworking: true, bridgeNetworking: false, portForwarding: true, rootDevice: false },
  addresses,
  root: overlayRoot(qemuImg),
  rootDevices: { ensure: notHere, ensureNone: notHere },
  bridge: {
    ...{ ensureBridge: notHere, ensureTapPool: notHere, ensureResolver: notHere },
    ...{ ensureTap: notHere, ensureNoTap: notHere, ensureNat: notHere, ensureNoNat: notHere },
  },
  look: async () => sightOf(undefined),
  close: async () => {},
});
