/** Turns what the host says (errno, a tool's last words) into a named error with a fix. */
import { statfsSync } from "node:fs";
import { dirname } from "node:path";
import { BangerError, filesLimit } from "../lib/errors.js";

/** Below this many free bytes a failed write is put down to the full disk whatever the tool said. */
const fullBelowBytes = 4 << 20;

function looksFull(path: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize < fullBelowBytes;
  } catch {
    return path !== "/" && path !== "." && looksFull(dirname(path));
  }
}

export function diskFull(path: string, cause: unknown): BangerError {
  return new BangerError("disk_full", `no space is left on the disk that holds ${path}`, {
    hint: `df -h ${dirname(path)}; then free some space, for example with: banger vm prune`,
    cause,
  });
}

/** The named form of any error that came out of writing at `path`; a `BangerError` stays what it is. */
export function hostError(error: unknown, path: string): BangerError {
  if (error instanceof BangerError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === "ENOSPC" || code === "EDQUOT") return diskFull(path, error);
  if (code === "EACCES" || code === "EROFS" || code === "EPERM" || code === "ENOTDIR")
    return new BangerError("home_unwritable", `${path} cannot be written: ${message}`, {
      hint: `ls -ld ${path} ${dirname(path)}`,
      cause: error,
    });
  if (code === "EMFILE")
    return filesLimit(`the limit of open files (ulimit -n) is too low: ${message}`, error);
  return new BangerError("host_failed", message, { retry: "later", cause: error });
}

/** What a tool's failure means: a full disk, or its own last line. */
export function toolError(tool: string, stderr: string, path: string, cause: unknown): BangerError {
  if (/No space left on device|Disk quota exceeded/.test(stderr) || looksFull(path))
    return diskFull(path, cause);
  const last = stderr.trim().split("\n").at(-1) ?? "";
  return new BangerError("tool_failed", `${tool} failed: ${last || (cause as Error).message}`, {
    retry: "later",
    cause,
  });
}
