/** One change of the network at a time: each reads links and rules, and writes what follows from them. */
import type { HelperContext } from "../method.js";

let last: Promise<unknown> = Promise.resolve();

/** Runs this after every earlier one has ended. @throws what `work` throws; the signal's reason if it came first */
export function inTurn<T>({ signal }: HelperContext, work: () => Promise<T>): Promise<T> {
  const mine = last.then(() => {
    signal.throwIfAborted();
    return work();
  });
  last = mine.catch(() => undefined);
  return mine;
}

export type Undo = (step: () => Promise<unknown>) => void;

/** Where `work` fails, what it said how to undo is undone, the last first. @throws what `work` throws */
export async function allOrNothing<T>(work: (undo: Undo) => Promise<T>): Promise<T> {
  const steps: (() => Promise<unknown>)[] = [];
  try {
    return await work((step) => steps.push(step));
  } catch (cause) {
    // What cannot be undone either is left, and a look finds it.
    for (const step of steps.reverse()) await step().catch(() => undefined);
    throw cause;
  }
}
