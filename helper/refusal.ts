/** A call that a rule forbids, or that the host cannot fulfil. */

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
