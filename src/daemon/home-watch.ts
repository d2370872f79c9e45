/** A home that is moved or deleted under its daemon: another file, or none, lies where its log was opened. */
import { execFile } from "node:child_process";
import { statSync } from "node:fs";
import { dirname } from "node:path";
import { BangerError } from "../lib/errors.js";

/** What tells, from now on, that another file or none lies at the log's path. */
export function watchHome(log: string): () => BangerError | undefined {
  const opened = statSync(log);
  return () => {
    try {
      const there = statSync(log, { throwIfNoEntry: false });
      if (there !== undefined && there.dev === opened.dev && there.ino === opened.ino) return undefined;
    } catch {
      // Whoever may not look knows nothing.
      return undefined;
    }
    return new BangerError("home_lost", `${dirname(log)} was moved or deleted under its daemon`, {
      hint: "any command starts a new daemon: banger vm list",
      retry: "later",
    });
  };
}

/** Reports to the host's log, since the home's own log is gone too; silent where there is none. */
export function tellHost(message: string, searchPath: string): Promise<void> {
  return new Promise((resolve) => {
    const argv = ["-t", "banger", "-p", "user.warning", "--", message];
    execFile("logger", argv, { env: { PATH: searchPath }, timeout: 5_000 }, () => resolve());
  });
}
