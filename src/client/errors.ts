/** How a request to the daemon fails before the daemon has said anything of its own. */
import { pathTrouble } from "../host/path-trouble.js";
import { BangerError } from "../lib/errors.js";

/** A failed connection as a `BangerError`: `daemon_not_running`, `daemon_forbidden` or `daemon_lost`. */
export function connectionError(error: Error, socketPath: string): BangerError {
  if (error instanceof BangerError) return error;
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ENOENT" || code === "ENOTDIR" || code === "ECONNREFUSED") {
    return new BangerError("daemon_not_running", "the daemon is not running", {
      hint: "any command that needs it starts it: banger vm list",
      retry: "later",
      cause: error,
    });
  }
  const trouble = pathTrouble(socketPath, error);
  if (trouble !== undefined) {
    return new BangerError("daemon_forbidden", `the daemon's socket cannot be reached: ${trouble.cause}`, {
      hint: trouble.hint,
      cause: error,
    });
  }
  return new BangerError("daemon_lost", `the connection to the daemon broke (${code ?? error.message})`, {
    hint: "banger daemon status",
    retry: "later",
    cause: error,
  });
}

/** Whether the daemon went away before it answered, or was not there: the next one may be asked. */
export const isLost = (error: unknown): boolean =>
  error instanceof BangerError && (error.code === "daemon_lost" || error.code === "daemon_not_running");

export const silent = (timeoutMs: number): BangerError =>
  new BangerError("daemon_silent", `the daemon did not answer within ${timeoutMs / 1000} s`, {
    hint: "banger doctor",
    retry: "later",
  });

export const badReply = (what: string): BangerError =>
  new BangerError("bad_reply", `the daemon's reply is invalid: ${what}`, {
    hint: "stop it so that the next command starts this version: banger daemon stop",
  });
