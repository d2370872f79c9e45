/** The one error type of banger: what failed, and a command that fixes it. */

import type { ErrorCode } from "./error-codes.js";

export type Retry = "never" | "later";

/** The form in which an error crosses the API, the log and `--json` output. */
export interface ErrorBody {
  code: string;
  message: string;
  /** What the user can do about it, preferably a command to type. */
  hint?: string;
  retry: Retry;
}

export interface ErrorOptions {
  hint?: string;
  retry?: Retry;
  cause?: unknown;
}

/**
 * `code` is stable, and one of the documented ones. `retry: "later"` marks failures after which the very same command
 * may succeed without anything being fixed.
 */
export class BangerError extends Error {
  readonly code: string;
  readonly hint: string | undefined;
  readonly retry: Retry;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "BangerError";
    this.code = code;
    this.hint = options.hint;
    this.retry = options.retry ?? "never";
  }

  /** An error as another process or the log told it, whose codes may be those of another version. */
  static from(body: ErrorBody, changes: ErrorOptions & { message?: string } = {}): BangerError {
    const { code, message, hint, retry } = body;
    const options = { retry, ...(hint !== undefined && { hint }), ...changes };
    return new BangerError(code as ErrorCode, changes.message ?? message, options);
  }

  toBody(): ErrorBody {
    const body: ErrorBody = { code: this.code, message: this.message, retry: this.retry };
    return this.hint === undefined ? body : { ...body, hint: this.hint };
  }
}

/** Whoever starts a process bounds how many files it has open; nothing but another start changes that. */
export const filesLimit = (message: string, cause?: unknown): BangerError =>
  new BangerError("files_limit", message, {
    hint: "ulimit -n 1024; where that is refused, start banger from where ulimit -Hn says more",
    cause,
  });

/** The same of how large a file may become. */
export const fileSizeLimit = (message: string, cause?: unknown): BangerError =>
  new BangerError("file_size_limit", `the limit of file sizes (ulimit -f) is too low: ${message}`, {
    hint: "ulimit -f unlimited; where that is refused, start banger from where ulimit -Hf says more",
    cause,
  });

/** Whatever asked for it: Node tells of it by a system call that nobody has heard of. */
const cwdUnusable: ErrorBody = {
  code: "cwd_unusable",
  message: "the current directory is gone, or may not be read",
  hint: "cd",
  retry: "never",
};

/** Any thrown value as an `ErrorBody`; what is not a `BangerError` becomes `internal`. */
export function errorBody(thrown: unknown): ErrorBody {
  if (thrown instanceof BangerError) return thrown.toBody();
  if ((thrown as NodeJS.ErrnoException | undefined)?.syscall === "uv_cwd") return cwdUnusable;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  if ((thrown as NodeJS.ErrnoException | null)?.code === "EMFILE")
    return filesLimit(`the limit of open files (ulimit -n) is too low: ${message}`).toBody();
  return { code: "internal", message, retry: "never" };
}
