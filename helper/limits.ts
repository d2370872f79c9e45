/** Every bound of the helper in one place; what lies above one is refused by name, never waited for. */
import type { MethodName } from "./contract.js";

/** A line with its newline, in bytes. */
export const longestRequest = 4096;
export const longestAnswer = 1 << 20;

export const limits = {
  /** Those above are told so and closed at once. */
  connections: 32,
  /** Calls of one connection that have no answer yet. */
  pendingCalls: 64,
  /** Lines of one connection that were no calls, or too many: each costs a line in the journal. */
  refusals: 100,
  /** Calls that do something at the same time; the others wait for their turn. */
  callsAtWork: 8,
  /** From the first byte of a request to its newline. */
  requestMs: 10_000,
  /** Bytes of answers that a client may leave unread. */
  unreadBytes: 4 * longestAnswer,
  /** How long a call whose deadline has passed may take to clean up before its caller is answered. */
  graceMs: 5_000,
  /** How long calls at work may take to end after SIGTERM. */
  stopMs: 20_000,
} as const;

/** From a call's arrival, the wait for its turn included. */
export const deadlinesMs: Readonly<Record<MethodName, number>> = {
  about: 15_000,
  look: 30_000,
  ensureBridge: 30_000,
  ensureNoBridge: 30_000,
  ensureResolver: 30_000,
  ensureTapPool: 60_000,
  ensureTap: 30_000,
  ensureNoTap: 30_000,
  ensureNat: 30_000,
  ensureNoNat: 30_000,
  ensureRootDevice: 60_000,
  ensureNoRootDevice: 60_000,
  startVmm: 60_000,
  signalVmm: 15_000,
  ensureNoJail: 60_000,
};
