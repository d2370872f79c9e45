/** Stages of work that the CLI does itself: one live line on a terminal, and a plain line for each that has ended. */
import type { Clock } from "../../lib/clock.js";
import { formatDuration } from "../../lib/sizes.js";
import { liveLine } from "./live-line.js";
import { clean, type Output, type Style } from "./style.js";

/** Runs `work` under its label, and tells how long it took when it went well. */
export function stageLines(output: Output, clock: Clock, style: Style) {
  const line = liveLine(output, clock);
  return async <T>(label: string, work: () => Promise<T>): Promise<T> => {
    const sinceMs = clock.now();
    line.show(label);
    let result: T;
    try {
      result = await work();
    } finally {
      line.clear();
    }
    output.write(`${style.dim(`${clean(label)} (${formatDuration(clock.now() - sinceMs)})`)}\n`);
    return result;
  };
}
