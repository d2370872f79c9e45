/** What a mode decides: which drivers fill the places of disk and network. Everything else is the same in both. */

import type { RootForm } from "../effects/disk/disks.js";
import { overlayRoot } from "../effects/disk/overlay.js";
import type { RootDeviceDriver } from "../effects/disk/root-device.js";
import { type HelperSight, sightOf } from "../effects/helper/look.js";
import type { BridgeDriver } from "../effects/net/bridge.js";
import type { NetworkControls } from "../effects/net/controls.js";
import type { NetworkDriver } from "../effects/net/network.js";
import { networkProcesses } from "../effects/net/process.js";
import { Resolvers } from "../effects/net/resolvers.js";
import type { AddressRange } from "../home/addresses.js";
import type { Home } from "../home/handles.js";
import type { Clock } from "../lib/clock.js";
import { BangerError } from "../lib/errors.js";
import type { Capabilities } from "../model/model.js";

export interface ModeParts {
  capabilities: Capabilities;
  /** Where VMs have their addresses from. */
  addresses: AddressRange;
  root: RootForm;
  rootDevices: RootDeviceDriver;
  bridge: BridgeDriver;
  network(processes: NetworkControls): NetworkDriver;
  /** What network processes pass names on to; null where the network is not made of such. */
  resolvers: Resolvers | null;
  /** One look at what only root can see. */
  look(): Promise<HelperSight>;
  /** Lets go; everything stays as it is. */
  close(): Promise<void>;
}

/** What nothing asks for where the capabilities say that there is no such thing. */
const notHere = async (): Promise<never> => {
  throw new BangerError("not_here", "user mode has no bridge and no root devices");
};

export interface UserOptions {
  home: Home;
  clock: Clock;
  qemuImg: string;
  addresses: AddressRange;
  /** Of programs that are started. */
  environment: Readonly<Record<string, string>>;
}

/** A network process and an overlay for each VM, and nothing that needs root. */
export function userParts({ home, clock, qemuImg, addresses, environment }: UserOptions): ModeParts {
  const resolvers = new Resolvers();
  return {
    capabilities: { bridgeNetworking: false, netPolicies: true, portForwarding: true, rootDevice: false },
    addresses,
    root: overlayRoot(qemuImg),
    rootDevices: { ensure: notHere, ensureNone: notHere },
    bridge: { ensureBridge: notHere, ensureTapPool: notHere, ensureResolver: notHere },
    network: (controls) => networkProcesses({ home, clock, controls, environment, resolvers }),
    resolvers,
    look: async () => sightOf(undefined),
    close: async () => {},
  };
}
