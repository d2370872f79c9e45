/** VMMs of VMs, whichever runs one: each is ended the way that its kind is, however new ones are started. */
import { rm } from "node:fs/promises";
import { type Home, vmHandles } from "../../home/handles.js";
import { hostError } from "../../host/host-error.js";
import { type FoundVmm, findVmm, isAlive, serves, type VmmKind } from "../../host/processes.js";
import { orAborted } from "../../host/wait.js";
import { BangerError } from "../../lib/errors.js";
import type { Effect, ProcessIdentity, VmId } from "../../model/model.js";
import type { VmmControl } from "./control.js";
import type { VmmControls } from "./controls.js";

export type EnsureProcess = Extract<Effect, { kind: "ensureProcess" }>;

export interface VmmDriver {
  ensureProcess(effect: EnsureProcess, signal: AbortSignal): Promise<void>;
  /** Succeeds as soon as one way of asking worked, or when nothing is left to ask. */
  ensureShutdownAsked(id: VmId, signal: AbortSignal): Promise<void>;
  ensureNoProcess(id: VmId, identity: ProcessIdentity, signal: AbortSignal): Promise<void>;
  ensureNoRuntime(id: VmId, signal: AbortSignal): Promise<void>;
}

/** One kind of VMM. */
export interface Vmm {
  /** Starts one and its guest, where there is none; when that fails, nothing that runs is left. */
  start(effect: EnsureProcess, signal: AbortSignal): Promise<void>;
  /** Asks the guest to shut down as the machine's power button or its keyboard would. */
  press(id: VmId, found: FoundVmm, signal: AbortSignal): Promise<void>;
  /** Resolves when the process is gone. @throws BangerError `process_stuck` */
  end(id: VmId, control: VmmControl, signal: AbortSignal): Promise<void>;
  /** Takes away what of the VMM is left on the host beside the VM's own runtime directory. */
  clear(id: VmId, signal: AbortSignal): Promise<void>;
}

/** A process that even SIGKILL does not end sits in the kernel. */
export const processStuck = ({ pid }: ProcessIdentity): BangerError =>
  new BangerError("process_stuck", `process ${pid} does not end`, {
    hint: `cat /proc/${pid}/stack`,
    retry: "later",
  });

export interface VmmDriverOptions {
  home: Home;
  controls: VmmControls;
  vmms: Readonly<Partial<Record<VmmKind, Vmm>>>;
  /** Which of them runs what is started from now on. */
  starts: Vmm;
  /** Asks the guest itself to shut down; rejects when it cannot be reached. */
  askGuest: (id: VmId, signal: AbortSignal) => Promise<void>;
}

export function vmmDriver({ home, controls, vmms, starts, askGuest }: VmmDriverOptions): VmmDriver {
  function vmmOf({ kind }: FoundVmm): Vmm {
    const vmm = vmms[kind];
    if (vmm !== undefined) return vmm;
    throw new BangerError("other_vmm", `the VM is run by ${kind}, which this banger is not set up for`);
  }

  return {
    async ensureProcess(effect, signal) {
      const found = findVmm(home, effect.vmId);
      if (found !== undefined) {
        controls.hold(effect.vmId, found);
        return;
      }
      try {
        await starts.start(effect, signal);
      } catch (error) {
        throw hostError(error, vmHandles(home, effect.vmId).directory);
      }
    },

    async ensureShutdownAsked(id, signal) {
      const found = findVmm(home, id);
      if (found === undefined) return;
      try {
        await orAborted(askGuest(id, signal), signal);
      } catch {
        signal.throwIfAborted();
        await vmmOf(found).press(id, found, signal);
      }
    },

    async ensureNoProcess(id, identity, signal) {
      if (!isAlive(identity)) return;
      const served = serves(home, identity.pid);
      if (served?.id !== id) return;
      const found = { ...identity, kind: served.kind };
      const control = controls.hold(id, found);
      control.asked = true;
      await vmmOf(found).end(id, control, signal);
      // An observation after this is to show how it ended, too.
      await orAborted(control.gone, signal);
    },

    async ensureNoRuntime(id, signal) {
      const { runtime } = vmHandles(home, id);
      if (findVmm(home, id) !== undefined)
        throw new BangerError("vm_runs", `the VMM of ${id} still runs`, { retry: "later" });
      for (const vmm of Object.values(vmms)) await vmm.clear(id, signal);
      try {
        await rm(runtime, { recursive: true, force: true });
      } catch (error) {
        throw hostError(error, runtime);
      }
    },
  };
}
