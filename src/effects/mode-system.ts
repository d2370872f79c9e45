/** System mode's drivers: taps and ways out on the bridge, root devices, Firecracker or QEMU, all by the helper's hand. */
import type { AddressRange } from "../addresses.js";
import type { Clock } from "../clock.js";
import { deadline } from "../deadline.js";
import { BangerError } from "../errors.js";
import type { Home } from "../handles.js";
import { copiedRoot, snapshotRoot } from "./disk-system.js";
import { type FirecrackerOptions, firecrackerVmm } from "./firecracker.js";
import type { Warn } from "./handles-cache.js";
import type { Helper } from "./helper.js";
import { lookThrough } from "./helper-look.js";
import type { ModeParts } from "./mode-parts.js";
import { Bridge } from "./net-bridge.js";
import { helperRootDevices } from "./root-device.js";

export interface SystemOptions {
  home: Home;
  clock: Clock;
  helper: Helper;
  /** Those of the bridge's network. */
  addresses: AddressRange;
  tapPoolSize: number;
  /** The kernel has device-mapper. */
  deviceMapper: boolean;
  vmm: "firecracker" | "qemu";
  firecracker: Pick<FirecrackerOptions, "prepare" | "network" | "rateLimits">;
  warn: Warn;
}

/** An observation waits no longer than this for what only root can see. */
const lookMs = 5_000;
const late = () => new BangerError("helper_unreachable", "the helper does not answer", { retry: "later" });

export function systemParts(options: SystemOptions): ModeParts {
  const { home, clock, helper, deviceMapper } = options;
  const bridge = new Bridge(options);
  return {
    capabilities: {
      userNetworking: false,
      bridgeNetworking: true,
      portForwarding: false,
      rootDevice: deviceMapper,
    },
    addresses: options.addresses,
    root: deviceMapper ? snapshotRoot : copiedRoot,
    rootDevices: helperRootDevices(helper),
    bridge,
    vmms(qemu, controls) {
      const rootDisk = deviceMapper ? "device" : "file";
      const firecracker = firecrackerVmm({
        ...{ home, clock, controls, helper, rootDisk },
        ...options.firecracker,
      });
      const vmms = { qemu, firecracker };
      return { vmms, starts: vmms[options.vmm] };
    },
    async look() {
      const bound = deadline(clock, lookMs, late);
      const sight = await lookThrough(helper, bound.signal).finally(bound.release);
      if (sight.bridge.is !== "unknown") bridge.note(sight.bridge.is === "present");
      return sight;
    },
    namesServedAt: (port) => bridge.serveNames(port),
    async close() {
      await bridge.close();
      helper.close();
    },
  };
}
