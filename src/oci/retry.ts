/** Tries a registry's places in turn, and again after a while where that can help. */
import { pause } from "../lib/clock.js";
import { BangerError } from "../lib/errors.js";

export interface RetryOptions {
  /** Pauses between rounds that brought nothing; their number bounds the rounds. */
  delaysMs: readonly number[];
  signal: AbortSignal;
}

export const defaultDelaysMs = [500, 1000, 2000, 4000, 8000];

const stepMs = 100;

/** In steps, so that nobody waits long for the end of what is no longer wanted. */
async function wait(delayMs: number, signal: AbortSignal): Promise<void> {
  for (let waitedMs = 0; waitedMs < delayMs; waitedMs += stepMs) {
    await pause(Math.min(stepMs, delayMs - waitedMs));
    signal.throwIfAborted();
  }
}

/**
 * The result of the first place that succeeds. A round over all places is repeated while one of its failures may
 * pass; `progressed` tells whether the last round brought something, in which case the pauses start anew.
 * @throws what the last round's most telling failure was, and the signal's reason
 */
export async function tryPlaces<T>(
  places: number,
  attempt: (place: number) => Promise<T>,
  options: RetryOptions,
  progressed: () => boolean = () => false,
): Promise<T> {
  const { delaysMs, signal } = options;
  for (let pauses = 0; ; pauses++) {
    let failure: unknown;
    for (let place = 0; place < places; place++) {
      try {
        return await attempt(place);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof BangerError)) throw error;
        // The registry itself is asked last, and knows best.
        failure = error;
      }
    }
    if (progressed()) pauses = 0;
    const delayMs = delaysMs[pauses];
    if (delayMs === undefined || (failure as BangerError).retry === "never") throw failure;
    await wait(delayMs, signal);
  }
}
