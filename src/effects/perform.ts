/** From an effect to the driver that makes it true. */

import type { ImageDriver } from "../images/store.js";
import type { PerformContext } from "../loop/world.js";
import { event, imageStream, vmStream } from "../model/events.js";
import type { Effect } from "../model/model.js";
import type { DiskDriver } from "./disk/disks.js";
import type { OnlineGrowth } from "./disk/online.js";
import type { RootDeviceDriver } from "./disk/root-device.js";
import type { BridgeDriver } from "./net/bridge.js";
import type { ForwardDriver } from "./net/forwards.js";
import type { NetworkDriver } from "./net/network.js";
import type { VmmDriver } from "./vmm/driver.js";

export interface Drivers {
  disks: DiskDriver;
  vmm: VmmDriver;
  forwards: ForwardDriver;
  bridge: BridgeDriver;
  network: NetworkDriver;
  rootDevices: RootDeviceDriver;
  images: ImageDriver;
  growth: OnlineGrowth;
  /** Resumes a guest that is paused for lack of disk space. @throws BangerError `vm_not_running`. */
  ensureRunning: (vmId: string) => Promise<void>;
  /** How far the guest's clock had been behind; it no longer is. */
  setClock: (vmId: string, signal: AbortSignal) => Promise<number>;
  /** Keeps a link to the guest's agent; returns at once. @throws BangerError `vm_not_running`. */
  ensureAgentLink: (vmId: string) => void;
}

/** Makes the effect true; success when it is true already. @throws BangerError */
export async function perform(drivers: Drivers, effect: Effect, context: PerformContext): Promise<void> {
  const { disks, rootDevices, bridge, network, vmm, forwards, images } = drivers;
  const { signal, note } = context;
  switch (effect.kind) {
    case "ensureDisk":
      return disks.ensure(effect, context);
    case "ensureRootDevice":
      return rootDevices.ensure(effect.vmId, effect.imageId, signal);
    case "ensureNoRootDevice":
      return rootDevices.ensureNone(effect.vmId, signal);
    case "ensureBridge":
      return bridge.ensureBridge(signal);
    case "ensureTapPool":
      return bridge.ensureTapPool(effect.size, signal);
    case "ensureResolver":
      return bridge.ensureResolver(effect.port, signal);
    case "ensureNetwork":
      return network.ensure(effect.vmId, effect.address, signal);
    case "ensureNoNetwork":
      return network.ensureNone(effect.vmId, signal);
    case "ensurePolicy":
      return network.ensurePolicy(effect.vmId, effect.address, effect.net, signal);
    case "ensureNoPolicy":
      return network.ensureNoPolicy(effect.vmId, signal);
    case "ensureProcess":
      return vmm.ensureProcess(effect, signal);
    case "ensureRunning":
      return drivers.ensureRunning(effect.vmId);
    case "ensureAgentLink":
      return drivers.ensureAgentLink(effect.vmId);
    case "ensureClock": {
      const behindMs = await drivers.setClock(effect.vmId, signal);
      if (behindMs !== 0) note(event(vmStream(effect.vmId), "vm.clock_set", { behindMs }));
      return;
    }
    case "ensureDiskSize":
      return drivers.growth.ensure(effect.vmId, effect, signal);
    case "ensureForward":
      return forwards.ensure(effect.vmId, effect.address, effect);
    case "ensureNoForward":
      return forwards.ensureNone(effect.vmId, effect.address, effect);
    case "ensureShutdownAsked":
      return vmm.ensureShutdownAsked(effect.vmId, signal);
    case "ensureNoProcess":
      return vmm.ensureNoProcess(effect.vmId, effect.process, signal);
    case "ensureNoRuntime":
      return vmm.ensureNoRuntime(effect.vmId, signal);
    case "ensureNoDirectory":
      return disks.ensureNone(effect.vmId);
    case "ensureImage":
      return images.ensure(effect, {
        signal,
        stage: (reached) => note(event(imageStream(effect.imageId), "image.stage_reached", reached)),
      });
    case "ensureNoPartialImage":
      return images.ensureNoPartial(effect.imageId);
    case "ensureNoImage":
      return images.ensureNone(effect.imageId);
    default:
      return effect satisfies never;
  }
}
