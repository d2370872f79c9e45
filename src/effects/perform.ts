/** From an effect to the driver that makes it true. */
import { event, imageStream } from "../events.js";
import type { Effect } from "../model.js";
import type { PerformContext } from "../world.js";
import type { OnlineGrowth } from "./disk-online.js";
import type { DiskDriver } from "./disk-overlay.js";
import type { ImageDriver } from "./image-store.js";
import type { ForwardDriver } from "./net-user.js";
import type { VmmDriver } from "./qemu.js";

export interface Drivers {
  disks: DiskDriver;
  vmm: VmmDriver;
  forwards: ForwardDriver;
  images: ImageDriver;
  growth: OnlineGrowth;
  /** Keeps a link to the guest's agent; returns at once. @throws BangerError `vm_not_running`. */
  ensureAgentLink: (vmId: string) => void;
}

/** Makes the effect true; success when it is true already. @throws BangerError */
export async function perform(drivers: Drivers, effect: Effect, context: PerformContext): Promise<void> {
  const { disks, vmm, forwards, images } = drivers;
  const { signal, note } = context;
  switch (effect.kind) {
    case "ensureDisk":
      return disks.ensure(effect, context);
    case "ensureProcess":
      return vmm.ensureProcess(effect, signal);
    case "ensureAgentLink":
      return drivers.ensureAgentLink(effect.vmId);
    case "ensureDiskSize":
      return drivers.growth.ensure(effect.vmId, effect.diskMiB, signal);
    case "ensureForward":
      return forwards.ensure(effect.vmId, effect.address, effect.guestPort);
    case "ensureNoForward":
      return forwards.ensureNone(effect.vmId, effect.address, effect.hostPort);
    case "ensureShutdownAsked":
      return vmm.ensureShutdownAsked(effect.vmId, signal);
    case "ensureNoProcess":
      return vmm.ensureNoProcess(effect.vmId, effect.process, signal);
    case "ensureNoRuntime":
      return vmm.ensureNoRuntime(effect.vmId);
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
