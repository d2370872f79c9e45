/** Pure: which failures of an effect go into the log, which is permanent, while their cause may last for ever. */

/** What the log was told of one kind of effect of one VM or image. */
export interface Told {
  /** The failure that was told last, and when. */
  message: string;
  at: number;
  /** When the effect failed last, told or not. */
  failedAt: number;
  /** Failures since then that were not told. */
  untold: number;
  /** How long nothing else is told after it. */
  gapMs: number;
}

const firstGapMs = 60_000;
/** The longest gap, and the time after which a failure is news again. */
const quietMs = 60 * 60_000;

/** The same failure is told once, another one ever more rarely; `say` tells whether this one is. */
export function tell(before: Told | undefined, message: string, now: number): { told: Told; say: boolean } {
  const news = before === undefined || now - before.failedAt >= quietMs;
  if (news) return { told: { message, at: now, failedAt: now, untold: 0, gapMs: firstGapMs }, say: true };
  if (message === before.message || now - before.at < before.gapMs)
    return { told: { ...before, failedAt: now, untold: before.untold + 1 }, say: false };
  const gapMs = Math.min(before.gapMs * 2, quietMs);
  return { told: { message, at: now, failedAt: now, untold: 0, gapMs }, say: true };
}
