/** VMMs of VMs, whichever runs one: each is ended the way that its kind is, however new ones are started. */
import { rm } from "node:fs/promises";
import { type Home, vmHandles } from "../../home/handles.js";
import { hostError } from "../../host/host-error.js";
import { isAlive } from "../../host/processes.js";
import { orAborted } from "../../host/wait.js";
import { BangerError } from "../../lib/errors.js";
import type { ProcessIdentity, VmId } from "../../model/model.js";
import type { VmmControls } from "./controls.js";
import { findVmm, servedBy } from "./processes.js";
import type { EnsureProcess, Vmm } from "./vmm.js";

export interface VmmDriver {
  ensureProcess(effect: EnsureProcess, signal: AbortSignal): Promise<void>;
  /** Succeeds as soon as one way of asking worked, or when nothing is left to ask. */
  ensureShutdownAsked(id: VmId, signal: AbortSignal): Promise<void>;
  ensureNoProcess(id: VmId, identity: ProcessIdentity, signal: AbortSignal): Promise<void>;
  ensureNoRuntime(id: VmId, signal: AbortSignal): Promise<void>;
}

export interface VmmDriverOptions {
  home: Home;
  controls: VmmControls;
  /** Every kind of which a VM may have a process. */
  vmms: readonly Vmm[];
  /** Which of them runs what is started from now on. */
  starts: Vmm;
  /** Asks the guest itself to shut down; rejects when it cannot be reached. */
  askGuest: (id: VmId, signal: AbortSignal) => Promise<void>;
}

export function vmmDriver({ home, controls, vmms, starts, askGuest }: VmmDriverOptions): VmmDriver {
  return {
    async ensureProcess(effect, signal) {
      const { vmId } = effect;
      const found = findVmm(home, vmms, vmId);
      if (found !== undefined) {
        controls.attach(vmId, found);
        return;
      }
      try {
        await starts.start(effect, (attach) => controls.hold(vmId, starts, attach), signal);
      } catch (error) {
        throw hostError(error, vmHandles(home, vmId).directory);
      }
    },

    async ensureShutdownAsked(id, signal) {
      const found = findVmm(home, vmms, id);
      if (found === undefined) return;
      try {
        await orAborted(askGuest(id, signal), signal);
      } catch {
        signal.throwIfAborted();
        await controls.attach(id, found).powerButton(signal);
      }
    },

    async ensureNoProcess(id, identity, signal) {
      if (!isAlive(identity)) return;
      const served = servedBy(home, vmms, identity.pid);
      if (served?.id !== id) return;
      const attached = controls.attach(id, { ...identity, vmm: served.vmm });
      await attached.end(signal);
      // An observation after this is to show how it ended, too.
      await orAborted(attached.gone, signal);
    },

    async ensureNoRuntime(id, signal) {
      const { runtime } = vmHandles(home, id);
      if (findVmm(home, vmms, id) !== undefined)
        throw new BangerError("vm_runs", `the VMM of ${id} still runs`, { retry: "later" });
      for (const vmm of vmms) await vmm.cleanUp(id, signal);
      try {
        await rm(runtime, { recursive: true, force: true });
      } catch (error) {
        throw hostError(error, runtime);
      }
    },
  };
}
