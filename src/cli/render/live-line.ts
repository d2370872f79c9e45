/** One line on a terminal that is rewritten while something lasts; nothing where there is no terminal. */
import type { Clock, Timer } from "../../clock.js";
import { formatDuration } from "../../sizes.js";
import { clean, type Output } from "./style.js";

export interface LiveLine {
  /** Replaces the line by a spinner, `text` and the time since this text was first shown. */
  show(text: string): void;
  clear(): void;
}

const frames = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏";
const frameMs = 100;
const eraseLine = "\r\u001b[K";

export function liveLine(output: Output, clock: Clock): LiveLine {
  if (output.isTTY !== true) return { show() {}, clear() {} };
  let shown: { text: string; since: number } | undefined;
  let frame = 0;
  let timer: Timer | undefined;
  const draw = (): void => {
    if (shown === undefined) return;
    const spinner = frames[frame++ % frames.length];
    const line = `${spinner} ${clean(shown.text)}  ${formatDuration(clock.now() - shown.since)}`;
    output.write(`${eraseLine}${line.slice(0, (output.columns ?? 80) - 1)}`);
    timer = clock.after(frameMs, draw);
  };
  return {
    show(text) {
      if (shown?.text === text) return;
      timer?.cancel();
      shown = { text, since: clock.now() };
      draw();
    },
    clear() {
      timer?.cancel();
      if (shown !== undefined) output.write(eraseLine);
      shown = undefined;
    },
  };
}
