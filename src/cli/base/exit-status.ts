/** The exit status of a command line that failed: the one place that decides it, for every command. */
import { BangerError } from "../../lib/errors.js";
import { Interrupted } from "./interrupts.js";

/** Where a status is the guest's, banger's own failures have the one that docker and env(1) use for theirs. */
const ownFailure = 125;
/** What a POSIX shell answers for a command that it cannot run. */
const statusOfStart: Readonly<Record<string, number>> = { exec_not_found: 127, exec_not_executable: 126 };
/** Codes of errors in the command line itself. */
const usageCodes = new Set(["usage", "argument_not_utf8", "bad_size", "bad_duration"]);

/**
 * 1 for a failure and 2 for a wrong command line; where `guestStatus` says that other statuses are a guest's
 * command's, 125 for both, and 126 or 127 for a command that could not be started there.
 */
export function exitStatusOf(thrown: unknown, guestStatus: boolean): number {
  if (thrown instanceof Interrupted) return thrown.exitStatus;
  const code = thrown instanceof BangerError ? thrown.code : "internal";
  if (guestStatus) return statusOfStart[code] ?? ownFailure;
  return usageCodes.has(code) ? 2 : 1;
}
