/** Pure: whether a VM that was only wanted for one client stays after it, because it can still tell what went wrong. */
import type { StartStep } from "./model.js";

interface Outcome {
  phase: string;
  readyAt: unknown;
  error: { step: string } | null;
}

/** Steps before any program of the VM ran: when they fail, the error says all there is to know. */
const silentSteps = new Set<string>(["disk", "network"] satisfies StartStep[]);

/** True of a VM whose guest never answered, once it will not and there are logs to read. */
export function canTellWhy({ phase, readyAt, error }: Outcome): boolean {
  if (readyAt !== null) return false;
  return phase === "stopped" || (phase === "error" && error !== null && !silentSteps.has(error.step));
}
