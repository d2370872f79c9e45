/** Colours where a terminal wants them, and text from elsewhere without its control characters. */

/** The part of a stream that commands write to. */
export type Output = Pick<NodeJS.WriteStream, "write" | "once" | "isTTY" | "columns">;

export interface Style {
  bold(text: string): string;
  dim(text: string): string;
  red(text: string): string;
  green(text: string): string;
  yellow(text: string): string;
}

const paint =
  (on: boolean, begin: number, end: number) =>
  (text: string): string =>
    on ? `\u001b[${begin}m${text}\u001b[${end}m` : text;

/** Plain unless `output` is a terminal, NO_COLOR is unset or empty (no-color.org) and TERM is not "dumb". */
export function styleFor(output: Pick<Output, "isTTY">, env: NodeJS.ProcessEnv): Style {
  const on = output.isTTY === true && (env["NO_COLOR"] ?? "") === "" && env["TERM"] !== "dumb";
  return {
    bold: paint(on, 1, 22),
    dim: paint(on, 2, 22),
    red: paint(on, 31, 39),
    green: paint(on, 32, 39),
    yellow: paint(on, 33, 39),
  };
}

export const plainStyle: Style = styleFor({ isTTY: false }, {});

/** A guest names its processes as it likes: control characters must not reach the terminal. */
export const clean = (text: string): string => text.replace(/[\u0000-\u001f\u007f-\u009f]/g, "?");
