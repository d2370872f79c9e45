/** Lines on a terminal that are rewritten while something lasts; nothing where there is no terminal. */
import type { Clock, Timer } from "../../lib/clock.js";
import { formatDuration } from "../../lib/sizes.js";
import { clean, type Output } from "./style.js";

export interface LiveLine {
  /**
   * Replaces what is there by a spinner, `text` and the time since this text was first shown, and `below` under it,
   * a line each.
   */
  show(text: string, below?: readonly string[]): void;
  clear(): void;
}

const frames = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏";
const frameMs = 100;

export function liveLine(output: Output, clock: Clock): LiveLine {
  if (output.isTTY !== true) return { show() {}, clear() {} };
  let shown: { text: string; since: number; below: readonly string[] } | undefined;
  let frame = 0;
  let drawn = 0;
  let timer: Timer | undefined;
  /** To the beginning of what was drawn, and all of it away. */
  const erase = (): string => (drawn > 1 ? `\r\u001b[${drawn - 1}A\u001b[J` : "\r\u001b[K");
  const draw = (): void => {
    if (shown === undefined) return;
    const spinner = frames[frame++ % frames.length];
    const first = `${spinner} ${clean(shown.text)}  ${formatDuration(clock.now() - shown.since)}`;
    const width = (output.columns || 80) - 1;
    const lines = [first, ...shown.below.map((line) => `  ${clean(line)}`)].map((line) =>
      line.slice(0, width),
    );
    output.write(`${erase()}${lines.join("\n")}`);
    drawn = lines.length;
    timer = clock.after(frameMs, draw);
  };
  return {
    show(text, below = []) {
      if (shown?.text === text && shown.below.join("\n") === below.join("\n")) return;
      timer?.cancel();
      shown = { text, since: shown?.text === text ? shown.since : clock.now(), below };
      draw();
    },
    clear() {
      timer?.cancel();
      if (shown !== undefined) output.write(erase());
      shown = undefined;
      drawn = 0;
    },
  };
}
