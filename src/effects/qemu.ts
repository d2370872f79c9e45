/** Starts, asks and ends QEMU. A QEMU outlives the daemon that started it; what counts is which process lives. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { rm } from "node:fs/promises";
import type { Clock } from "../clock.js";
import { BangerError } from "../errors.js";
import { type Home, type VmHandles, vmHandles } from "../handles.js";
import { launcherProgram, vmmArguments } from "../launcher.js";
import { confinementOf, type Reach } from "./confinement.js";
import { findProgram } from "./find-program.js";
import { identify, isAlive } from "./proc.js";
import type { VmmControls } from "./vmm-controls.js";
import { type EnsureProcess, processStuck, type Vmm } from "./vmm-driver.js";
import { type ChildExit, startError } from "./vmm-exit.js";
import { holdsWithin, orAborted } from "./wait.js";

/** The program to run for a VM, its arguments without the program, and what it opens of the host. */
export interface Launch extends Pick<Reach, "read" | "write"> {
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

/** Starts the program, confined and in a session of its own; resolves when its launcher has been executed. */
function execute(launch: Launch, handles: VmHandles, env: Readonly<Record<string, string>>) {
  const program = programOf(launch.file, env["PATH"] ?? "");
  const confinement = confinementOf({ ...launch, program, uid: process.getuid?.() ?? 0 });
  for (const path of [handles.vmmLog, handles.consoleLog]) writeFileSync(path, "", { mode: 0o600 });
  // Both are appended to: see log-bound.ts.
  const log = openSync(handles.vmmLog, "a");
  try {
    writeSync(log, `${[launch.file, ...launch.argv].join(" ")}\n`);
    const child = spawn(launcherProgram, vmmArguments(confinement, program, launch.argv), {
      detached: true,
      stdio: ["ignore", log, log],
      // Where its sockets are, and what tells whose VMM it is: see proc.ts.
      cwd: handles.runtime,
      env,
    });
    child.unref();
    return new Promise<ChildProcess>((resolve, reject) => {
      child.once("spawn", () => resolve(child));
      child.once("error", (error) => reject(notLaunched(error)));
    });
  } finally {
    closeSync(log);
  }
}

/** @throws BangerError `qemu_missing` */
function programOf(file: string, searchPath: string): string {
  const found = findProgram(file, searchPath);
  if (found !== null || file.includes("/")) return found ?? file;
  throw new BangerError("qemu_missing", `${file} is not in the daemon's PATH (${searchPath})`, {
    hint: `apt-get install qemu-system-x86; or, where this shell finds it: banger daemon stop`,
  });
}

function notLaunched(cause: NodeJS.ErrnoException): BangerError {
  const message = `the launcher ${launcherProgram} cannot be executed: ${cause.message}`;
  return new BangerError("launcher_missing", message, { hint: "make build", cause });
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
