/** Pure: what a Firecracker's logs tell of its end, of a start that failed, and of a guest that has halted. */
import { BangerError } from "../../../lib/errors.js";
import type { ProcessExit, VmId } from "../../../model/model.js";
import { describeReset, failureNamed } from "../exit.js";

/**
 * A guest that powers off does not end Firecracker, whose machine has no power to switch off: its processors stand
 * still, and this is the last that its kernel says (kernel/reboot.c; it says so however quiet it is).
 */
export const hasHalted = (consoleEnd: string): boolean =>
  /reboot: (System halted|Power down)\s*$/.test(consoleEnd);

export interface FirecrackerEnd {
  /** This daemon asked the process to end. */
  asked: boolean;
  /** The guest was seen to have halted. */
  halted: boolean;
  /** The ends of vmm.log and of console.log. */
  vmmLog: string;
  console: string;
}

/** How Firecracker ended, as the log records it. */
export function describeFirecrackerEnd({ asked, halted, vmmLog, console }: FirecrackerEnd): ProcessExit {
  if (halted) return { reason: "guest", detail: "the guest powered off" };
  const [, trouble] = /Received (KVM_EXIT_(?!SHUTDOWN|HLT)\w+)/.exec(vmmLog) ?? [];
  if (trouble !== undefined)
    return { reason: "lost", detail: `the guest's processor could not continue: ${trouble}` };
  const [, code] = /exit_code=(\d+)/.exec(vmmLog) ?? [];
  if (code === "0") return describeReset(console);
  if (code !== undefined)
    return { reason: "lost", detail: `Firecracker exited with status ${code}: ${lastSaid(vmmLog)}` };
  if (asked) return { reason: "asked", detail: "Firecracker was stopped as requested" };
  return { reason: "lost", detail: "Firecracker exited unexpectedly (killed or crashed; no message)" };
}

/** The last thing that a log says beside how the process exited, without time and thread before it. */
function lastSaid(log: string): string {
  const lines = log.split("\n").filter((line) => line.trim() !== "" && !line.includes("exit_code="));
  return (lines.at(-1) ?? "nothing").replace(/^\S+ \[[^\]]*\] /, "");
}

/** Why Firecracker ended before its guest could start. */
export function firecrackerStartError(id: VmId, vmmLog: string): BangerError {
  const said = lastSaid(vmmLog);
  return (
    failureNamed(vmmLog, said) ??
    new BangerError("vmm_failed", `Firecracker ended before its guest started: ${said}`, {
      hint: `banger vm logs ${id} --source vmm`,
      retry: "later",
    })
  );
}

/** The named form of what Firecracker refused, where its words tell the cause. */
export function firecrackerRefusal(error: unknown): unknown {
  const refused = error instanceof BangerError && error.code === "firecracker_refused";
  return refused ? (failureNamed(error.message, error.message) ?? error) : error;
}
