/** The one error type of banger: what failed, and a command that mends it. */

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

/** `code` is stable snake_case; `retry: "later"` marks failures that may pass by themselves. */
export class BangerError extends Error {
  readonly code: string;
  readonly hint: string | undefined;
  readonly retry: Retry;

  constructor(code: string, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "BangerError";
    this.code = code;
    this.hint = options.hint;
    this.retry = options.retry ?? "never";
  }

  toBody(): ErrorBody {
    const body: ErrorBody = { code: this.code, message: this.message, retry: this.retry };
    return this.hint === undefined ? body : { ...body, hint: this.hint };
  }
}

/** Any thrown value as an `ErrorBody`; what is not a `BangerError` becomes `internal`. */
export function errorBody(thrown: unknown): ErrorBody {
  if (thrown instanceof BangerError) return thrown.toBody();
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return { code: "internal", message, retry: "never" };
}
