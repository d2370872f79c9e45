/** Executes QEMU through the launcher: found, confined, and with a guard where it carries its guest's traffic. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { basename } from "node:path";
import type { VmHandles } from "../../../home/handles.js";
import { findProgram } from "../../../host/find-program.js";
import { guestNetLibrary, launcherProgram, vmmArguments } from "../../../host/launcher.js";
import { programMissing } from "../../../host/run-tool.js";
import { BangerError } from "../../../lib/errors.js";
import { confinementOf, type Reach } from "./confinement.js";

/** The program to run for a VM, its arguments without the program, and what it opens of the host. */
export interface Launch extends Pick<Reach, "read" | "write"> {
  file: string;
  argv: readonly string[];
  /** Whether the guest's connections are QEMU's own, which reach what this host's user reaches. */
  carriesGuest: boolean;
}

/** Starts the program, confined and in a session of its own; resolves when its launcher has been executed. */
export function execute(launch: Launch, handles: VmHandles, env: Readonly<Record<string, string>>) {
  const program = programOf(launch.file, env["PATH"] ?? "");
  const reach = confinementOf({ ...launch, program, uid: process.getuid?.() ?? 0 });
  const confinement = { ...reach, ...(launch.carriesGuest && { preload: guestNetLibrary }) };
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

/**
 * The fault of a QEMU that carries its guest's traffic and has not loaded the guard, as one that is linked statically:
 * its guest would reach whatever listens on this host's loopback.
 */
export function unguarded({ carriesGuest }: Launch, pid: number): BangerError | undefined {
  const loaded = () => readFileSync(`/proc/${pid}/maps`, "utf8").includes(`/${basename(guestNetLibrary)}`);
  if (!carriesGuest || loaded()) return undefined;
  const message = "this QEMU does not load the library that keeps guests from this host's loopback";
  const hint = "set qemu_bin to a QEMU that is linked dynamically, or create the VM with --no-nat";
  return new BangerError("guest_unguarded", message, { hint });
}
