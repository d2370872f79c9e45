/** Steps that are all done, or none: what fails is taken back together with all that went before. */
import { BangerError, errorBody } from "../lib/errors.js";
import type { SystemHost } from "./host.js";

export interface Step {
  label: string;
  /** Left out where there is only something to do on the way back. */
  run?(): Promise<void>;
  /** Takes back whatever `run` has done, also when that is only a part, or nothing. */
  undo(): Promise<void>;
}

/** @throws what the failed step threw; its message says what could not be taken back. */
export async function carryOut(host: Pick<SystemHost, "stage">, steps: readonly Step[]): Promise<void> {
  const done: Step[] = [];
  try {
    for (const step of steps) {
      done.unshift(step);
      if (step.run !== undefined) await host.stage(step.label, step.run);
    }
  } catch (thrown) {
    const left: string[] = [];
    for (const step of done) {
      await step.undo().catch((error: unknown) => left.push(`${step.label}: ${errorBody(error).message}`));
    }
    if (left.length === 0) throw thrown;
    const error = errorBody(thrown);
    const message = `${error.message}; not taken back: ${left.join("; ")}`;
    throw BangerError.from(error, { message, cause: thrown });
  }
}
