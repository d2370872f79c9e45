/** One line of JSON for every call: who asked for what, what became of it and how long it took. */
import type { Clock } from "../src/lib/clock.js";
import type { Failure } from "./contract.js";
import type { Peer } from "./peer.js";

export interface Call {
  peer: Peer | null;
  /** Null for what was no call, or could not be read as one. */
  method: string | null;
  vmId: string | null;
  /** From its arrival to its answer. */
  durationMs: number;
  /** Null when it was done. */
  error: Failure["error"] | null;
}

export type Audit = (call: Call) => void;

/** `write` gets one whole line for each call. */
export const auditTo =
  (write: (line: string) => void, clock: Clock): Audit =>
  ({ peer, method, vmId, durationMs, error }) => {
    const verdict =
      error === null ? "done" : error.rule === undefined ? `failed ${error.code}` : `refused ${error.rule}`;
    const time = new Date(clock.now()).toISOString();
    const who = { uid: peer?.uid ?? null, pid: peer?.pid ?? null };
    const why = error === null ? {} : { message: error.message };
    write(`${JSON.stringify({ time, ...who, method, vmId, verdict, durationMs, ...why })}\n`);
  };
