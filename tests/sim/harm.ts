/** What befalls the simulated host without banger's doing. */
import type { VmId } from "../../src/model/model.js";
import type { SimHost } from "./host.js";
import { imageId } from "./images.js";
import { deleteBridge, flushFirewall } from "./network.js";
import { endNetwork } from "./network-processes.js";
import type { Action } from "./scenario.js";

type ToGuest =
  | "killVmm"
  | "killNetwork"
  | "powerOff"
  | "rebootGuest"
  | "panicGuest"
  | "listen"
  | "pauseGuest"
  | "resumeGuest";
type ToHost =
  | "damageImage"
  | "buildElsewhere"
  | "deleteElsewhere"
  | "killHelper"
  | "killHelperAt"
  | "flushFirewall"
  | "deleteBridge"
  | "forgetNames"
  | "refuseForwards"
  | "refuseBridge"
  | "fillDisk"
  | "freeDisk";
type Harm = Extract<Action, { kind: ToGuest | ToHost }>;

/** `idOf` knows the VM that was made last under a name. */
export function harm(host: SimHost, action: Harm, idOf: (name: number) => VmId | undefined): void {
  switch (action.kind) {
    case "killHelper":
      return host.helper.die(action.backMs);
    case "killHelperAt":
      return host.helper.dieAt(action.boundary, action.backMs);
    case "flushFirewall":
      host.resolvers += 1;
      return flushFirewall(host);
    case "deleteBridge":
      return deleteBridge(host);
    case "forgetNames":
      host.network.namesPort = null;
      return;
    case "refuseBridge":
      deleteBridge(host);
      host.refusesBridge = action.retry;
      return;
    case "refuseForwards":
      host.refusesForwards = true;
      return;
    case "fillDisk":
      return host.fill();
    case "freeDisk":
      host.full = false;
      return;
    case "buildElsewhere": {
      const image = host.image(imageId(action.image));
      if (!image.ready) Object.assign(image, { ready: true, damaged: false, elsewhere: true });
      return;
    }
    case "deleteElsewhere":
      Object.assign(host.image(imageId(action.image)), { ready: false, damaged: false });
      return;
    case "damageImage": {
      const image = host.image(imageId(action.image));
      if (image.ready) Object.assign(image, host.chance.chance(0.5) ? { damaged: true } : { ready: false });
      return;
    }
    default: {
      const id = idOf(action.name);
      if (id === undefined || !host.vms.get(id)?.process) return;
      if (action.kind === "listen") host.toggleListener(id, action.port);
      else if (action.kind === "powerOff") host.powerOff(id);
      else if (action.kind === "rebootGuest") host.reset(id, "reboot");
      else if (action.kind === "panicGuest") host.reset(id, "panic");
      else if (action.kind === "pauseGuest") host.pause(id, "stopped");
      else if (action.kind === "resumeGuest") host.pause(id, null);
      else if (action.kind === "killNetwork") endNetwork(host, id);
      else host.exit(id, { reason: "lost", detail: "killed from outside" });
    }
  }
}
