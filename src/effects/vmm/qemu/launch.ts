/** Executes QEMU through the launcher: found, confined, and without a network of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, writeFileSync, writeSync } from "node:fs";
import type { VmHandles } from "../../../home/handles.js";
import { confinementOf, type Reach } from "../../../host/confinement.js";
import { findProgram } from "../../../host/find-program.js";
import { launcherProgram, vmmArguments } from "../../../host/launcher.js";
import { programMissing } from "../../../host/run-tool.js";
import { BangerError } from "../../../lib/errors.js";

/** The program to run for a VM, its arguments without the program, and what it opens of the host. */
export interface Launch extends Pick<Reach, "read" | "write"> {
  file: string;
  argv: readonly string[];
  /** QEMU has its guest's frames from a socket in its directory, and needs no network. */
  offline: boolean;
}

/** Starts the program, confined and in a session of its own; resolves when its launcher has been executed. */
export function execute(launch: Launch, handles: VmHandles, env: Readonly<Record<string, string>>) {
  const program = programOf(launch.file, env["PATH"] ?? "");
  const reach = confinementOf({ ...launch, program, uid: process.getuid?.() ?? 0 });
  const confinement = { ...reach, offline: launch.offline };
  const paths = [handles.vmmLog, handles.consoleLog];
  for (const path of paths) writeFileSync(path, "", { mode: 0o600 });
  // Both are appended to: see log-bound.ts. The console, which the guest writes, is bounded by a process of the
  // launcher's, whether a daemon lives or not.
  const [log, console] = paths.map((path) => openSync(path, "a+")) as [number, number];
  try {
    writeSync(log, `${[launch.file, ...launch.argv].join(" ")}\n`);
    const child = spawn(launcherProgram, vmmArguments(confinement, program, launch.argv), {
      detached: true,
      stdio: ["ignore", console, log],
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
    for (const each of [log, console]) closeSync(each);
  }
}

/** @throws BangerError `qemu_missing` */
function programOf(file: string, searchPath: string): string {
  const found = findProgram(file, searchPath);
  if (found !== null || file.includes("/")) return found ?? file;
  throw programMissing(file, "qemu-system-x86", searchPath);
}

function notLaunched(cause: NodeJS.ErrnoException): BangerError {
  const message = `the launcher ${launcherProgram} cannot be executed: ${cause.message}`;
  return new BangerError("launcher_missing", message, { hint: "make build", cause });
}
