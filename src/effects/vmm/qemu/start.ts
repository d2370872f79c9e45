/** Starts QEMU, to where it answers. A QEMU outlives the daemon that started it; what counts is which process lives. */
import type { ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { type Home, vmHandles } from "../../../home/handles.js";
import { identify } from "../../../host/processes.js";
import { orAborted } from "../../../host/wait.js";
import type { EnsureProcess, Vmm } from "../vmm.js";
import { QemuControl } from "./control.js";
import { type ChildExit, startError } from "./exit.js";
import { execute, type Launch } from "./launch.js";

export interface StartOptions {
  home: Home;
  environment: Readonly<Record<string, string>>;
  /** How this VM is run on this host. */
  launch: (effect: EnsureProcess) => Promise<Launch>;
}

const answerMs = 60_000;

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

export const qemuStart =
  ({ home, environment, launch: launchOf }: StartOptions): Vmm["start"] =>
  async (effect, hold, signal) => {
    const handles = vmHandles(home, effect.vmId);
    const launch = await launchOf(effect);
    // A client that meets a dead socket would only be told to wait.
    for (const socket of [handles.qmpSocket, handles.agentSocket]) await rm(socket, { force: true });
    signal.throwIfAborted();
    const child = await execute(launch, handles, environment);
    const exited = exitOf(child);
    const ended = exited.then((exit) => {
      throw startError(effect.vmId, readLog(handles.vmmLog).split("\n").slice(1).join("\n"), exit);
    });
    ended.catch(() => {});
    const seen = identify(child.pid as number);
    if (seen.is !== "present") return ended;
    const { pid, startTime } = seen;
    const control = hold((hooks) => new QemuControl(handles, { pid, startTime }, hooks, exited));
    await orAborted(Promise.race([control.client(answerMs), ended]), signal);
  };
