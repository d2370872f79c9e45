/** Why a call was not done: a rule forbids it, or the host could not; and how either is told. */
import type { Failure } from "./contract.js";

export class Refusal extends Error {
  constructor(
    /** The rule's name, as docs/privileges.md has it. */
    readonly rule: string,
    message: string,
    readonly hint?: string,
  ) {
    super(message);
  }
}

/** A tool that did not do what it was asked for. */
export class HostFailure extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly retry: "never" | "later" = "later",
    readonly hint?: string,
  ) {
    super(message);
  }
}

/** A message may quote what was sent: it is long enough for people, and short enough for a log. */
const longestMessage = 500;

/** What is thrown as the answer's error; what nobody expected is told by its message alone, never by its stack. */
export function errorOf(thrown: unknown): Failure["error"] {
  const message = (thrown instanceof Error ? thrown.message : String(thrown)).slice(0, longestMessage);
  if (thrown instanceof Refusal)
    return { code: "helper_refused", message, rule: thrown.rule, ...hinted(thrown), retry: "never" };
  if (thrown instanceof HostFailure)
    return { code: thrown.code, message, ...hinted(thrown), retry: thrown.retry };
  const { code, path, syscall } = thrown as NodeJS.ErrnoException;
  if (typeof syscall !== "string") return { code: "helper_internal", message, retry: "never" };
  const where = path === undefined || message.includes(path) ? "" : ` (${path})`;
  return {
    code: code === "ENOSPC" ? "disk_full" : "host_failed",
    message: `${message}${where}`,
    retry: "later",
  };
}

const hinted = ({ hint }: { hint?: string | undefined }): { hint?: string } =>
  hint === undefined ? {} : { hint };
