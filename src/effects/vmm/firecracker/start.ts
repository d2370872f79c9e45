/** Starts Firecracker and its guest. The helper jails it; what it runs, it is told through its API from here. */
import { writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import type { Config } from "../../../config/form.js";
import { type VmHandles, vmHandles } from "../../../home/handles.js";
import { isAlive } from "../../../host/processes.js";
import { sleep } from "../../../host/wait.js";
import type { Clock } from "../../../lib/clock.js";
import { deadline } from "../../../lib/deadline.js";
import { BangerError } from "../../../lib/errors.js";
import type { EnsureProcess, SystemLoan, Vmm, VmmHost } from "../vmm.js";
import { FirecrackerControl } from "./control.js";
import { firecrackerRefusal, firecrackerStartError } from "./exit.js";
import { checkSpec, machineCalls, startCall } from "./machine.js";

export type StartOptions = Pick<VmmHost, "home" | "clock" | "prepare" | "system"> & {
  config: Pick<Config, "rateLimits">;
};

/** From its start a Firecracker takes some milliseconds until it listens. */
const listeningMs = 10_000;
/** How long one whose start has failed may take to end. */
const giveUpMs = 10_000;
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
  { home, clock, config, system }: StartOptions & { system: SystemLoan },
  control: FirecrackerControl,
  { vmId, spec, address }: EnsureProcess,
  bootArguments: string,
  signal: AbortSignal,
): Promise<void> {
  const handles = vmHandles(home, vmId);
  const version = await listening(control, clock, signal);
  const network = { address, ...system.network };
  const machine = { handles, spec, bootArguments, network, rateLimits: config.rateLimits, version };
  for (const call of machineCalls(machine)) await control.api.tell(call, signal);
  await control.api.tell(startCall, signal);
  control.guestStarted();
}

/** What is not ended here, because the helper is away, is seen to have no guest and is ended later. */
async function giveUp(control: FirecrackerControl, clock: Clock): Promise<void> {
  const late = () => new BangerError("deadline_exceeded", "the VMM does not end", { retry: "later" });
  const bound = deadline(clock, giveUpMs, late);
  await control
    .end(bound.signal)
    .catch(() => {})
    .finally(bound.release);
}

export const firecrackerStart =
  (options: StartOptions): Vmm["start"] =>
  async (effect, hold, signal) => {
    const { home, clock, system } = options;
    const { vmId, imageId, spec } = effect;
    if (system === undefined)
      throw new BangerError("vmm_unusable", "Firecracker runs VMs in system mode only");
    const { helper, rootDisk } = system;
    const handles = vmHandles(home, vmId);
    checkSpec(spec);
    const { initrd, bootArguments } = await options.prepare(imageId);
    signal.throwIfAborted();
    emptyLogs(handles);
    const { vcpu, memoryMiB } = spec;
    const jailed = { vmId, imageId, initrd: basename(initrd), rootDisk, vcpu, memoryMiB };
    const identity = await helper.call("startVmm", jailed, signal);
    const control = hold((hooks) => new FirecrackerControl({ home, helper }, vmId, identity, hooks));
    try {
      await begin({ ...options, system }, control, effect, bootArguments, signal);
    } catch (error) {
      const died = !isAlive(identity);
      await giveUp(control, clock);
      signal.throwIfAborted();
      throw died ? firecrackerStartError(vmId, await readLogs(handles)) : firecrackerRefusal(error);
    }
  };
