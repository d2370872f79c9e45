/** What SQLite and the file system say about the log, as errors that a user can act on. */
import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { BangerError, fileSizeLimit } from "../lib/errors.js";

const corruptCodes = /^SQLITE_(CORRUPT|NOTADB|FORMAT)/;
const unwritableCodes = /^(SQLITE_(CANTOPEN|READONLY|PERM|AUTH|IOERR_ACCESS|IOERR_LOCK)|EACCES|EPERM|EROFS)/;

/** `log_corrupt`, with what to do about it. */
export function corrupt(path: string, what: string, cause?: unknown): BangerError {
  return new BangerError("log_corrupt", `the log ${path} is damaged: ${what}`, {
    hint: `nothing was changed; keep a copy, then: sqlite3 ${path} .recover | sqlite3 ${path}.new`,
    cause,
  });
}

/** `log_newer` for a whole file; single events are refused by `upcast`. */
export function newer(path: string, what: string): BangerError {
  return new BangerError("log_newer", `the log ${path} was written by a newer banger (${what})`, {
    hint: "install the banger version that wrote it; nothing was changed",
  });
}

/** The stream moved on since the caller decided. */
export function versionConflict(stream: string, expected: number, found: number): BangerError {
  const message = `${stream} is at version ${found}, not ${expected}: it changed meanwhile`;
  return new BangerError("version_conflict", message, { hint: "run the command again", retry: "later" });
}

/** SQLite does not tell a limit from a failing disk. */
function fileSizesAreLimited(): boolean {
  try {
    return /^Max file size +\d/m.test(readFileSync("/proc/self/limits", "latin1"));
  } catch {
    return false;
  }
}

/** A thrown value of better-sqlite3 as a `BangerError`; a `BangerError` stays what it is. */
export function logError(path: string, thrown: unknown): unknown {
  if (thrown instanceof BangerError || !(thrown instanceof Error)) return thrown;
  const code = (thrown as { code?: unknown }).code;
  // better-sqlite3 looks for the directory itself and throws a TypeError without a code.
  const kind =
    typeof code === "string" ? code : /directory does not exist/.test(thrown.message) ? "ENOENT" : "";
  const because = `${thrown.message}${kind === "" ? "" : ` (${kind})`}`;
  if (/^SQLITE_(BUSY|LOCKED)/.test(kind)) {
    return new BangerError("log_busy", `another daemon holds the log ${path}`, {
      hint: "banger daemon status",
      retry: "later",
      cause: thrown,
    });
  }
  if (kind === "SQLITE_FULL" || kind === "ENOSPC" || kind === "EDQUOT") {
    return new BangerError("disk_full", `no space left to write the log ${path}`, {
      hint: `df -h ${dirname(path)}`,
      retry: "later",
      cause: thrown,
    });
  }
  if (corruptCodes.test(kind)) return corrupt(path, because, thrown);
  if (kind === "ENOENT" || unwritableCodes.test(kind)) {
    return new BangerError("home_unwritable", `cannot open or write the log ${path}: ${because}`, {
      hint: `ls -ld ${dirname(path)} ${path}`,
      cause: thrown,
    });
  }
  if (kind === "SQLITE_IOERR_WRITE" && fileSizesAreLimited())
    return fileSizeLimit(`the log ${path} cannot be written`, thrown);
  if (/^SQLITE_IOERR/.test(kind)) {
    return new BangerError("log_io", `reading or writing the log ${path} failed: ${because}`, {
      hint: "look for disk errors: dmesg | tail",
      cause: thrown,
    });
  }
  return thrown;
}
