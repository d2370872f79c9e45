/** Network driver of user mode: a network process for each VM, which outlives the daemon as the VMM does. */
import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { rm } from "node:fs/promises";
import { type Home, type VmHandles, vmHandles } from "../../home/handles.js";
import { confinementOf } from "../../host/confinement.js";
import { hostError } from "../../host/host-error.js";
import { launcherProgram, networkProgram, vmmArguments } from "../../host/launcher.js";
import { identify, isAlive } from "../../host/processes.js";
import { holdsWithin, orAborted } from "../../host/wait.js";
import type { Clock } from "../../lib/clock.js";
import { BangerError } from "../../lib/errors.js";
import type { ProcessIdentity, VmId } from "../../model/model.js";
import { netKey, netRules } from "../../model/net-policy.js";
import { processStuck } from "../vmm/control.js";
import { type FoundNetwork, findNetwork } from "../vmm/processes.js";
import type { NetworkControl, NetworkControls } from "./controls.js";
import type { NetworkDriver } from "./network.js";
import type { Resolvers } from "./resolvers.js";

const startMs = 5_000;
const answerMs = 2_000;
const terminateMs = 1_000;
const killedMs = 5_000;

export interface NetworkProcessOptions {
  home: Home;
  clock: Clock;
  controls: NetworkControls;
  environment: Readonly<Record<string, string>>;
  resolvers: Resolvers;
}

function kill({ pid }: ProcessIdentity, signal: "SIGTERM" | "SIGKILL"): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Starts it through the launcher, confined and in a session of its own; resolves when that has been executed. */
function launch(handles: VmHandles, env: Readonly<Record<string, string>>): Promise<number> {
  const uid = process.getuid?.() ?? 0;
  const reach = confinementOf({ program: networkProgram, read: [], write: [handles.runtime], uid });
  const argv = vmmArguments(reach, networkProgram, ["--guest", handles.guestName, "--mac", handles.mac]);
  const log = openSync(handles.netLog, "w", 0o600);
  try {
    // Where its sockets are, and what tells whose it is: see processes.ts.
    const child = spawn(launcherProgram, argv, {
      ...{ detached: true, stdio: ["ignore", "ignore", log], cwd: handles.runtime, env },
    });
    child.unref();
    return new Promise((resolve, reject) => {
      child.once("spawn", () => resolve(child.pid as number));
      child.once("error", (cause) => {
        const message = `the launcher ${launcherProgram} cannot be executed: ${cause.message}`;
        reject(new BangerError("launcher_missing", message, { hint: "make build", cause }));
      });
    });
  } finally {
    closeSync(log);
  }
}

/** Ends it by signals, the second harsher than the first. @throws BangerError `process_stuck` */
async function end(found: FoundNetwork, clock: Clock, signal: AbortSignal): Promise<void> {
  for (const [name, ms] of [
    ["SIGTERM", terminateMs],
    ["SIGKILL", killedMs],
  ] as const) {
    kill(found, name);
    if (await holdsWithin(clock, ms, () => !isAlive(found), signal)) return;
  }
  throw processStuck(found);
}

/** Whether a process that is there answers. */
async function answers(control: NetworkControl, signal: AbortSignal): Promise<boolean> {
  try {
    const client = await orAborted(control.client(answerMs), signal);
    await orAborted(client.request("hello"), signal);
    await orAborted(control.refresh(), signal);
    return true;
  } catch {
    signal.throwIfAborted();
    return false;
  }
}

export function networkProcesses(options: NetworkProcessOptions): NetworkDriver {
  const { home, clock, controls, environment, resolvers } = options;

  async function start(handles: VmHandles, id: VmId, signal: AbortSignal): Promise<void> {
    for (const socket of [handles.netSocket, handles.netControlSocket]) await rm(socket, { force: true });
    signal.throwIfAborted();
    const seen = identify(await launch(handles, environment));
    if (seen.is !== "present") throw failed(handles);
    const control = controls.hold(id, seen);
    await orAborted(control.client(startMs), signal).catch((error: unknown) => {
      signal.throwIfAborted();
      throw isAlive(seen) ? error : failed(handles);
    });
    await orAborted(control.refresh(), signal);
  }

  /** Gives it this table of rules, in place of the one that it has. */
  async function give(control: NetworkControl, lines: readonly string[], signal: AbortSignal): Promise<void> {
    const client = await orAborted(control.client(answerMs), signal);
    await orAborted(client.request(...lines, "commit"), signal);
    await orAborted(control.refresh(), signal);
  }

  return {
    async ensure(id, _address, signal) {
      const handles = vmHandles(home, id);
      const found = findNetwork(home, id);
      if (found !== undefined && !found.frozen && (await answers(controls.hold(id, found), signal))) return;
      if (found !== undefined) await end(found, clock, signal);
      try {
        await start(handles, id, signal);
      } catch (error) {
        throw hostError(error, handles.directory);
      }
    },

    async ensureNone(id, signal) {
      const found = findNetwork(home, id);
      if (found !== undefined) await end(found, clock, signal);
    },

    async ensurePolicy(id, _address, net, signal) {
      const { addresses, key } = resolvers.now();
      const upstream = addresses.map((address) => `resolver ${address}`);
      const lines = [`policy ${netKey(net)}.${key}`, ...netRules(net), ...upstream];
      await give(controls.require(id), lines, signal);
    },

    async ensureNoPolicy(id, signal) {
      const control = controls.get(id);
      if (control === undefined) return;
      try {
        await give(control, ["policy none", "default deny none", "names listed"], signal);
      } catch (error) {
        // With the process its policy has gone, too.
        if (isAlive(control.identity)) throw error;
      }
    },
  };
}

const failed = ({ netLog }: VmHandles): BangerError =>
  new BangerError("network_failed", "the network process ended as soon as it was started", {
    ...{ hint: `cat ${netLog}`, retry: "later" },
  });
