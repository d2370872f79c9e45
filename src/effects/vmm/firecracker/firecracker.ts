/** Starts and ends Firecracker. The helper jails and signals it; what it runs, it is told through its API from here. */
import { writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { type Home, type VmHandles, vmHandles } from "../../../home/handles.js";
import { isAlive } from "../../../host/processes.js";
import { holdsWithin, sleep } from "../../../host/wait.js";
import type { Clock } from "../../../lib/clock.js";
import { deadline } from "../../../lib/deadline.js";
import { BangerError } from "../../../lib/errors.js";
import type { ImageId, VmId } from "../../../model/model.js";
import type { HelperCalls } from "../../helper/calls.js";
import type { VmmControl } from "../control.js";
import type { VmmControls } from "../controls.js";
import { type EnsureProcess, processStuck, type Vmm } from "../driver.js";
import type { GuestNetwork } from "../kernel-arguments.js";
import type { FirecrackerControl } from "./control.js";
import { firecrackerRefusal, firecrackerStartError } from "./exit.js";
import { checkSpec, ctrlAltDelCall, machineCalls, type RateLimits, startCall } from "./machine.js";

export interface FirecrackerOptions {
  home: Home;
  clock: Clock;
  controls: VmmControls;
  helper: HelperCalls;
  /** Checks the image; the file name of its first root for the agent of now, and its own kernel arguments. */
  prepare: (imageId: ImageId) => Promise<{ initrd: string; bootArguments: string }>;
  rootDisk: "device" | "file";
  /** The network of all guests. */
  network: Omit<GuestNetwork, "address">;
  rateLimits: RateLimits;
}

/** From its start a Firecracker takes some milliseconds until it listens. */
const listeningMs = 10_000;
const killedMs = 10_000;
const lookMs = 5;

async function readLogs({ consoleLog, vmmLog }: VmHandles): Promise<string> {
  const texts = await Promise.all([consoleLog, vmmLog].map((path) => readFile(path, "utf8").catch(() => "")));
  return texts.join("\n");
}

/** The logs as the present VMM finds them: its own, and nothing in them yet. */
function emptyLogs({ consoleLog, vmmLog }: VmHandles): void {
  for (const path of [vmmLog, consoleLog]) writeFileSync(path, "", { mode: 0o600 });
}

/** The version that it tells, as soon as it listens. @throws BangerError `firecracker_unreachable` */
async function listening(
  { api, identity }: FirecrackerControl,
  clock: Clock,
  signal: AbortSignal,
): Promise<string> {
  const end = clock.now() + listeningMs;
  for (;;) {
    try {
      return (await api.instance(signal)).vmm_version;
    } catch (error) {
      if (signal.aborted || clock.now() >= end || !isAlive(identity)) throw error;
    }
    await sleep(clock, lookMs, signal);
  }
}

/** From a Firecracker that has just been started to one whose guest runs. */
async function begin(
  { home, clock, network, rateLimits }: FirecrackerOptions,
  control: FirecrackerControl,
  { vmId, spec, address }: EnsureProcess,
  bootArguments: string,
  signal: AbortSignal,
): Promise<void> {
  const handles = vmHandles(home, vmId);
  const version = await listening(control, clock, signal);
  const machine = { handles, spec, bootArguments, network: { address, ...network }, rateLimits, version };
  for (const call of machineCalls(machine)) await control.api.tell(call, signal);
  await control.api.tell(startCall, signal);
  control.guestStarted();
}

export function firecrackerVmm(options: FirecrackerOptions): Vmm {
  const { home, clock, controls, helper, rootDisk } = options;

  /** @throws BangerError `process_stuck`, or what the helper says. */
  async function kill(vmId: VmId, { identity }: VmmControl, signal: AbortSignal): Promise<void> {
    // It keeps nothing of the guest's that could be written out, and as first of its pid namespace hears nothing less.
    await helper.call("signalVmm", { vmId, ...identity, signal: "SIGKILL" }, signal);
    if (!(await holdsWithin(clock, killedMs, () => !isAlive(identity), signal))) throw processStuck(identity);
  }

  /** What is not ended here, because the helper is away, is seen to have no guest and is ended later. */
  async function giveUp(vmId: VmId, control: FirecrackerControl): Promise<void> {
    control.asked = true;
    const late = () => new BangerError("deadline_exceeded", "the VMM does not end", { retry: "later" });
    const bound = deadline(clock, killedMs, late);
    await kill(vmId, control, bound.signal)
      .catch(() => {})
      .finally(bound.release);
  }

  return {
    async start(effect, signal) {
      const { vmId, imageId, spec } = effect;
      const handles = vmHandles(home, vmId);
      checkSpec(spec);
      const { initrd, bootArguments } = await options.prepare(imageId);
      signal.throwIfAborted();
      emptyLogs(handles);
      const { vcpu, memoryMiB } = spec;
      const jailed = { vmId, imageId, initrd, rootDisk, vcpu, memoryMiB };
      const identity = await helper.call("startVmm", jailed, signal);
      controls.hold(vmId, { ...identity, kind: "firecracker" });
      const control = controls.firecracker(vmId);
      try {
        await begin(options, control, effect, bootArguments, signal);
      } catch (error) {
        const died = !isAlive(identity);
        await giveUp(vmId, control);
        signal.throwIfAborted();
        throw died ? firecrackerStartError(vmId, await readLogs(handles)) : firecrackerRefusal(error);
      }
    },

    async press(id, found, signal) {
      controls.hold(id, found);
      await controls.firecracker(id).api.tell(ctrlAltDelCall, signal);
    },

    end: kill,

    async clear(vmId, signal) {
      await helper.call("ensureNoJail", { vmId }, signal);
    },
  };
}
