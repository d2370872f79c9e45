/** Ctrl-C and its like: end whatever the command waits for, unless a session in the guest wants the signal. */
import { constants } from "node:os";

/** Signals that end a program which does not know them. Node has a debugger for one of them, which none must open. */
const ending = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2"] as const;

export type Interruption = (typeof ending)[number] | "SIGPIPE";

/** Thrown by what was waiting; the exit status is 128 and the signal's number. */
export class Interrupted extends Error {
  readonly exitStatus: number;
  constructor(name: Interruption) {
    super(`interrupted by ${name}`);
    this.exitStatus = 128 + constants.signals[name];
  }
}

export interface Interrupts {
  /** Aborted, with an `Interrupted` as its reason, by the first signal that nobody took over. */
  signal: AbortSignal;
  /** Ends whatever is waited for, as a signal that nobody took over does. */
  end(reason: Error): void;
  /** Hands every further signal to `taker`, until the returned function is called. */
  take(taker: (name: Interruption, number: number) => void): () => void;
}

/** Whether a mask of signals, as /proc/PID/status has it in hexadecimal digits, holds that number. */
const holds = (mask: string, number: number): boolean =>
  /^[0-9a-f]{1,16}$/.test(mask) && ((BigInt(`0x${mask}`) >> BigInt(number - 1)) & 1n) === 1n;

/**
 * Listens for the signals of `source`; a second one that nobody takes ends the process at once. Those that its caller
 * had it ignore (`ignored`, a mask), as nohup and a shell's `&` do, are ignored: Node itself forgets about them.
 */
export function listenForInterrupts(source: NodeJS.Process, ignored: string): Interrupts {
  const controller = new AbortController();
  let taker: ((name: Interruption, number: number) => void) | undefined;
  for (const name of ending) {
    const number = constants.signals[name];
    if (holds(ignored, number)) {
      source.on(name, () => undefined);
      continue;
    }
    source.on(name, () => {
      if (taker !== undefined) return taker(name, number);
      if (controller.signal.aborted) source.exit(128 + number);
      controller.abort(new Interrupted(name));
    });
  }
  return {
    signal: controller.signal,
    end: (reason) => controller.abort(reason),
    take(wanted) {
      const before = taker;
      taker = wanted;
      return () => {
        taker = before;
      };
    },
  };
}
