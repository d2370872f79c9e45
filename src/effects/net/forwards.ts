/** Forwards of running VMs: to what the guest's network reaches by its VMM, to the guest's own loopback by this daemon. */
import { BangerError } from "../../lib/errors.js";
import type { Forward, VmId } from "../../model/model.js";
import type { VmmControls } from "../vmm/controls.js";
import type { PortForwards } from "../vmm/vmm.js";
import type { LoopbackForwards } from "./loopback-forwards.js";

export interface ForwardDriver {
  ensure(id: VmId, address: string, to: Omit<Forward, "hostPort">): Promise<void>;
  ensureNone(id: VmId, address: string, forward: Forward): Promise<void>;
}

export function forwardDriver(controls: VmmControls, own: LoopbackForwards): ForwardDriver {
  /** @throws BangerError `vm_not_running`, `other_vmm` */
  function ofVmm(id: VmId): PortForwards {
    const { forwards } = controls.require(id);
    if (forwards !== undefined) return forwards;
    throw new BangerError("other_vmm", "what runs the VM forwards no ports: its guest has an address");
  }

  return {
    async ensure(id, address, to) {
      // Without a VMM there is nobody to forward to, whichever way.
      if (to.loopback !== undefined && controls.require(id)) return own.ensure(id, address, to);
      await ofVmm(id).ensure(address, to.guestPort);
    },
    async ensureNone(id, address, { hostPort, loopback }) {
      if (loopback !== undefined) return own.ensureNone(id, hostPort);
      if (controls.isHeld(id)) await ofVmm(id).ensureNone(address, hostPort);
    },
  };
}
