/** Runs a job for many callers at once: at most one run under way and one waiting, which all late callers share. */

/** Wraps `job`. A caller never gets a run that began before it asked, since that one may have looked too early. */
export function sharedRun<T>(job: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined;
  let waiting: Promise<T> | undefined;

  const start = (): Promise<T> => {
    waiting = undefined;
    const run = job().finally(() => {
      if (running === run) running = undefined;
    });
    running = run;
    return run;
  };
  return () => {
    if (running === undefined) return start();
    waiting ??= running.then(start, start);
    return waiting;
  };
}
