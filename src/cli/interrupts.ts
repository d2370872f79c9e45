/** Ctrl-C and its like: end whatever the command waits for, unless a session in the guest wants the signal. */

export type Interruption = "SIGINT" | "SIGTERM" | "SIGHUP";
const numbers: Record<Interruption, number> = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 };

/** Thrown by what was waiting; the exit status is 128 and the signal's number. */
export class Interrupted extends Error {
  readonly exitStatus: number;
  constructor(name: Interruption) {
    super(`interrupted by ${name}`);
    this.exitStatus = 128 + numbers[name];
  }
}

export interface Interrupts {
  /** Aborted, with an `Interrupted` as its reason, by the first signal that nobody took over. */
  signal: AbortSignal;
  /** Hands every further signal to `taker`, until the returned function is called. */
  take(taker: (name: Interruption, number: number) => void): () => void;
}

/** Listens for the signals of `source`; a second one that nobody takes ends the process at once. */
export function listenForInterrupts(source: NodeJS.Process): Interrupts {
  const controller = new AbortController();
  let taker: ((name: Interruption, number: number) => void) | undefined;
  for (const name of Object.keys(numbers) as Interruption[]) {
    source.on(name, () => {
      if (taker !== undefined) return taker(name, numbers[name]);
      if (controller.signal.aborted) source.exit(128 + numbers[name]);
      controller.abort(new Interrupted(name));
    });
  }
  return {
    signal: controller.signal,
    take(wanted) {
      const before = taker;
      taker = wanted;
      return () => {
        taker = before;
      };
    },
  };
}
