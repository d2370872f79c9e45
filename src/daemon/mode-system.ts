/** System mode's drivers: taps and NAT on the bridge, and root devices, all through the helper. */

import { helperRootDevices } from "../effects/disk/root-device.js";
import { copiedRoot, snapshotRoot } from "../effects/disk/snapshot.js";
import type { Helper } from "../effects/helper/client.js";
import { lookThrough } from "../effects/helper/look.js";
import { helperBridge } from "../effects/net/bridge.js";
import type { AddressRange } from "../home/addresses.js";
import type { Clock } from "../lib/clock.js";
import { deadline } from "../lib/deadline.js";
import { BangerError } from "../lib/errors.js";
import type { ModeParts } from "./mode-user.js";

export interface SystemOptions {
  clock: Clock;
  helper: Helper;
  /** Those of the bridge's network. */
  addresses: AddressRange;
  /** The kernel has device-mapper. */
  deviceMapper: boolean;
}

/** An observation waits no longer than this for what only root can see. */
const lookMs = 5_000;
const late = () => new BangerError("helper_unreachable", "the helper does not answer", { retry: "later" });

export function systemParts(options: SystemOptions): ModeParts {
  const { clock, helper, deviceMapper } = options;
  const bridge = helperBridge(helper);
  return {
    capabilities: {
      bridgeNetworking: true,
      netPolicies: false,
      portForwarding: false,
      rootDevice: deviceMapper,
    },
    addresses: options.addresses,
    root: deviceMapper ? snapshotRoot : copiedRoot,
    rootDevices: helperRootDevices(helper),
    bridge,
    network: () => bridge,
    resolvers: null,
    look() {
      const bound = deadline(clock, lookMs, late);
      return lookThrough(helper, bound.signal).finally(bound.release);
    },
    async close() {
      helper.close();
    },
  };
}
