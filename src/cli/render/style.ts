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

/** Where progress is shown: a terminal that cannot go back on its lines (TERM=dumb) gets plain ones, as a file does. */
export function progressOutput({ stderr, env }: { stderr: Output; env: NodeJS.ProcessEnv }): Output {
  if (env["TERM"] !== "dumb") return stderr;
  return {
    write: stderr.write.bind(stderr) as Output["write"],
    once: stderr.once.bind(stderr) as Output["once"],
    isTTY: false,
    columns: stderr.columns,
  };
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

/** What changes how a terminal shows other text, or cannot be seen: controls, C1 too, bidi, line separators. */
const unseen = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
/** The same but for line breaks and tabs. */
const unseenInLines = /(?![\n\t\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
/** Whole commands to a terminal (ECMA-48): CSI, strings such as titles and clipboards with their end, and the rest. */
const sequence =
  /\u001b\[[0-?]*[ -/]*[@-~]|\u001b[\]PX^_][^\u0007\u001b\u009c]*(?:\u0007|\u001b\\|\u009c)|\u001b[ -/]*[0-OQ-WYZ\\`-~]/g;
/** What `styleFor` writes. */
const ours = /^\u001b\[(?:1|2|22|3[1-35]|39)m$/;

/** One line for people of text from elsewhere: a guest names its processes as it likes. */
export const clean = (text: string): string => text.replace(unseen, "?");

/** Lines for people of text from elsewhere: commands to the terminal go, what else it could act on is shown as "?". */
export const cleanLines = (text: string): string =>
  text.replaceAll("\r\n", "\n").replace(sequence, "").replace(unseenInLines, "?");

/** As `cleanLines`, for text of banger's own: its colours stay. The last gate before a terminal. */
export const cleanStyled = (text: string): string =>
  text
    .split(/(\u001b\[\d+m)/)
    .map((part) => (ours.test(part) ? part : cleanLines(part)))
    .join("");

/** Writes JSON so that no terminal or editor acts on it: everything of that kind is a \\u escape, and still the same. */
export const jsonText = (value: unknown, indent?: number): string =>
  JSON.stringify(value, null, indent).replace(/(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    [...Array(character.length).keys()]
      .map((at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`)
      .join(""),
  );

/** A state in its colour: what works is green, what failed red, what is on its way yellow. */
export const stateColour =
  ({ green, red, yellow }: Style) =>
  (state: string): string => {
    if (/^(running|ready)$/.test(state)) return green(state);
    if (/^(error|failed)/.test(state)) return red(state);
    return /^(starting|stopping|deleting|building|pulling|paused)/.test(state) ? yellow(state) : state;
  };
