/** Starts, asks and ends QEMU. A QEMU outlives the daemon that started it; what counts is which process lives. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { rm } from "node:fs/promises";
import type { Clock } from "../clock.js";
import { BangerError } from "../errors.js";
import { type Home, type VmHandles, vmHandles } from "../handles.js";
import { identify, isAlive } from "./proc.js";
import type { VmmControls } from "./vmm-controls.js";
import { type EnsureProcess, processStuck, type Vmm } from "./vmm-driver.js";
import { type ChildExit, startError } from "./vmm-exit.js";
import { holdsWithin, orAborted } from "./wait.js";

/** The program to run for a VM, and its arguments without the program. */
export interface Launch {
  file: string;
  argv: readonly string[];
}

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

/** Starts the program in a session of its own; resolves when it has been executed. */
function execute(launch: Launch, handles: VmHandles, env: Readonly<Record<string, string>>) {
  for (const path of [handles.vmmLog, handles.consoleLog]) writeFileSync(path, "", { mode: 0o600 });
  // Both are appended to: see log-bound.ts.
  const log = openSync(handles.vmmLog, "a");
  try {
    writeSync(log, `${[launch.file, ...launch.argv].join(" ")}\n`);
    const child = spawn(launch.file, [...launch.argv], {
      detached: true,
      stdio: ["ignore", log, log],
      // Where its sockets are, and what tells whose VMM it is: see proc.ts.
      cwd: handles.runtime,
      env,
    });
    child.unref();
    return new Promise<ChildProcess>((resolve, reject) => {
      child.once("spawn", () => resolve(child));
      child.once("error", (error: NodeJS.ErrnoException) => reject(notExecuted(launch.file, error)));
    });
  } finally {
    closeSync(log);
  }
}

function notExecuted(file: string, error: NodeJS.ErrnoException): BangerError {
  if (error.code !== "ENOENT")
    return new BangerError("vmm_failed", `${file} cannot be executed: ${error.message}`, {
      hint: `ls -l "$(command -v ${file})"`,
      cause: error,
    });
  return new BangerError("qemu_missing", `${file} is not installed`, {
    hint: "apt-get install qemu-system-x86",
    cause: error,
  });
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
