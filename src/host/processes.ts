/** Reads /proc: a process is told apart from every other by pid and start time. */
import { closeSync, openSync, readSync } from "node:fs";
import type { ProcessIdentity, Seen } from "../model/model.js";

/**
 * State letter (field 3) and start time (field 22, in clock ticks since boot) of /proc/PID/stat.
 * The command name stands in parentheses and may itself hold spaces and parentheses, so the last one counts.
 */
export function parseStat(stat: string): { state: string; startTime: string } | undefined {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const state = fields[0];
  const startTime = fields[19];
  if (stat.lastIndexOf(")") < 0 || state === undefined || startTime === undefined) return undefined;
  return /^[A-Za-z]$/.test(state) && /^\d+$/.test(startTime) ? { state, startTime } : undefined;
}

/** Splits /proc/PID/cmdline; a zombie or a kernel thread has no arguments. */
export function parseCmdline(cmdline: string): string[] {
  if (cmdline === "") return [];
  return (cmdline.endsWith("\0") ? cmdline.slice(0, -1) : cmdline).split("\0");
}

const chunk = Buffer.allocUnsafe(65_536);
/** Longest argv that is read, in bytes. */
const maximumCmdline = 1 << 20;

/** A whole /proc file; cheaper than readFileSync, which asks fstat for a size that /proc does not know. */
export function readProc(path: string): string {
  const descriptor = openSync(path, "r");
  try {
    let text = "";
    for (;;) {
      const length = readSync(descriptor, chunk, 0, chunk.length, null);
      text += chunk.toString("latin1", 0, length);
      if (length === 0 || text.length >= maximumCmdline) return Buffer.from(text, "latin1").toString("utf8");
    }
  } finally {
    closeSync(descriptor);
  }
}

/** The boot in which pids and start times hold; after another one the numbers mean somebody else. */
export const bootId = (): string => readProc("/proc/sys/kernel/random/boot_id").trim();

/** There is no such process any more. */
export const vanished = (error: unknown): boolean =>
  ["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "");

/** Processes of other users may be hidden from us; ours are not, and those are all that we start. */
export const hidden = (error: unknown): boolean =>
  ["EACCES", "EPERM"].includes((error as NodeJS.ErrnoException).code ?? "");

/** Identity of one process, looked at now: a zombie has ended, it is only not yet waited for. */
export function identify(pid: number, procRoot = "/proc"): Seen<ProcessIdentity & { frozen?: true }> {
  try {
    const stat = parseStat(readProc(`${procRoot}/${pid}/stat`));
    if (stat === undefined) return { is: "unknown", cause: `${procRoot}/${pid}/stat is malformed` };
    if (stat.state === "Z" || stat.state === "X") return { is: "absent" };
    return { is: "present", pid, startTime: stat.startTime, ...(stat.state === "T" && { frozen: true }) };
  } catch (error) {
    if (vanished(error)) return { is: "absent" };
    return { is: "unknown", cause: (error as Error).message };
  }
}

/** True while exactly this process lives, whatever has its pid later. Unknown counts as alive. */
export function isAlive(identity: ProcessIdentity): boolean {
  const seen = identify(identity.pid);
  return seen.is === "unknown" || (seen.is === "present" && seen.startTime === identity.startTime);
}
