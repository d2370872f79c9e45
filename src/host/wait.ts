/** Waiting by the injected clock: for a time, for a condition, or until a signal says stop. */
import type { Clock } from "../lib/clock.js";

/** Resolves after `ms`; rejects with the signal's reason as soon as it is aborted. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const abort = () => {
      timer.cancel();
      reject(signal?.reason);
    };
    const timer = clock.after(ms, () => {
      signal?.removeEventListener("abort", abort);
      resolve();
    });
    signal?.addEventListener("abort", abort, { once: true });
  });
}

const pollMs = 10;

/** True as soon as `condition` holds, false when it does not within `ms`; rejects when the signal is aborted. */
export async function holdsWithin(
  clock: Clock,
  ms: number,
  condition: () => boolean,
  signal?: AbortSignal,
): Promise<boolean> {
  const end = clock.now() + ms;
  while (!condition()) {
    if (clock.now() >= end) return false;
    await sleep(clock, pollMs, signal);
  }
  return true;
}

/** `promise`, but no longer than the signal allows; what it does later is dropped. */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
