/** Bounds in time, joined with other signals by strong links: Node 20 may collect what AbortSignal.any makes unfired. */
import type { Clock } from "./clock.js";

export interface Deadline {
  /** Aborted when time is up, by `abort`, or with any of the sources; the reason says which. */
  readonly signal: AbortSignal;
  abort(reason: unknown): void;
  /** To be called when what was bounded has ended. */
  release(): void;
}

/** `late` makes the reason of a deadline that has passed. */
export function deadline(
  clock: Clock,
  ms: number,
  late: () => Error,
  ...sources: readonly AbortSignal[]
): Deadline {
  const controller = new AbortController();
  const releases = sources.map((source) => {
    const follow = () => controller.abort(source.reason);
    if (source.aborted) follow();
    source.addEventListener("abort", follow, { once: true });
    return () => source.removeEventListener("abort", follow);
  });
  const timer = clock.after(ms, () => controller.abort(late()));
  return {
    signal: controller.signal,
    abort: (reason) => controller.abort(reason),
    release() {
      timer.cancel();
      for (const release of releases) release();
    },
  };
}
