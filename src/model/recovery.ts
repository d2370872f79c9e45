/** Pure: how long banger waits before it brings a guest back by itself once more. */

/** How often in a row banger had to do something by itself, and when last. */
export interface Recoveries {
  count: number;
  at: number;
}

/** After this time without a recovery the next one counts as the first. */
const calmMs = 10 * 60_000;
const delay = { firstMs: 2_000, maxMs: 5 * 60_000 };
/** At this count the delay has long had its largest value. */
const mostCounted = 10;

export const noRecoveries: Recoveries = { count: 0, at: 0 };

/** The guest has to be brought back once more, as of `at`. */
export function countRecovery({ count, at: before }: Recoveries, at: number): Recoveries {
  return { count: at - before > calmMs ? 1 : Math.min(count + 1, mostCounted), at };
}

/** When the guest may be brought back, in ms since the epoch: the first time at once, then ever later. */
export function recoverAt({ count, at }: Recoveries): number {
  return count < 2 ? at : at + Math.min(delay.firstMs * 2 ** (count - 2), delay.maxMs);
}
