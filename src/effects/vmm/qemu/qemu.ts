/** Starts, asks and ends QEMU. A QEMU outlives the daemon that started it; what counts is which process lives. */
import type { ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { type Home, vmHandles } from "../../../home/handles.js";
import { identify, isAlive } from "../../../host/processes.js";
import { holdsWithin, orAborted } from "../../../host/wait.js";
import type { Clock } from "../../../lib/clock.js";
import type { VmmControls } from "../controls.js";
import { type EnsureProcess, processStuck, type Vmm } from "../driver.js";
import { type ChildExit, startError } from "../exit.js";
import { execute, type Launch, unguarded } from "./launch.js";

export interface QemuOptions {
  home: Home;
  clock: Clock;
  controls: VmmControls;
  environment: Readonly<Record<string, string>>;
  /** How this VM is run on this host. */
  launch: (effect: EnsureProcess) => Promise<Launch>;
}

/** How long each way of ending a process may take before the next, harsher one. */
const quitMs = 2_000;
const terminateMs = 2_000;
const killedMs = 10_000;

function readLog(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

const exitOf = (child: ChildProcess): Promise<ChildExit> =>
  new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null)
      resolve({ code: child.exitCode, signal: child.signalCode });
    else child.once("exit", (code, signal) => resolve({ code, signal }));
  });

export function qemuVmm(options: QemuOptions): Vmm {
  const { home, clock, controls } = options;

  return {
    async start(effect, signal) {
      const handles = vmHandles(home, effect.vmId);
      const launch = await options.launch(effect);
      // A client that meets a dead socket would only be told to wait.
      for (const socket of [handles.qmpSocket, handles.agentSocket]) await rm(socket, { force: true });
      signal.throwIfAborted();
      const child = await execute(launch, handles, options.environment);
      const ended = exitOf(child).then((exit) => {
        throw startError(effect.vmId, readLog(handles.vmmLog).split("\n").slice(1).join("\n"), exit);
      });
      ended.catch(() => {});
      const seen = identify(child.pid as number);
      if (seen.is !== "present") return ended;
      const { pid, startTime } = seen;
      controls.hold(effect.vmId, { pid, startTime, kind: "qemu" }, child);
      const control = controls.qemu(effect.vmId);
      await orAborted(Promise.race([control.client(60_000), ended]), signal);
      const fault = unguarded(launch, pid);
      if (fault !== undefined) {
        child.kill("SIGKILL");
        await ended.catch(() => undefined);
        throw fault;
      }
      await orAborted(control.refreshForwards(), signal);
    },

    async press(id, found) {
      controls.hold(id, found);
      const qmp = await controls.qemu(id).client();
      await qmp.execute("system_powerdown");
    },

    async end(id, { identity }, signal) {
      const gone = (ms: number) => holdsWithin(clock, ms, () => !isAlive(identity), signal);
      const kill = (name: "SIGTERM" | "SIGKILL") => {
        if (!isAlive(identity)) return;
        try {
          process.kill(identity.pid, name);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
        }
      };
      const quit = controls
        .qemu(id)
        .client(quitMs)
        .then((qmp) => qmp.execute("quit", {}, quitMs));
      quit.catch(() => {});
      if (await gone(quitMs)) return;
      kill("SIGTERM");
      if (await gone(terminateMs)) return;
      kill("SIGKILL");
      if (await gone(killedMs)) return;
      throw processStuck(identity);
    },

    async clear() {},
  };
}
