/** Columns for people: as wide as their widest cell, the last one cut to the terminal. */
import { clean, type Style } from "./style.js";

export interface TableOptions {
  style: Style;
  /** Width of the terminal; nothing is cut without one. */
  width?: number | undefined;
}

const gap = "  ";
const narrowestLastColumn = 12;

export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  options: TableOptions,
): string {
  const cells = rows.map((row) => row.map((cell) => clean(cell)));
  const widths = head.map((title, column) =>
    Math.max(title.length, ...cells.map((row) => row[column]?.length ?? 0)),
  );
  const before = widths.slice(0, -1).reduce((sum, width) => sum + width + gap.length, 0);
  const lastWidth =
    options.width === undefined ? undefined : Math.max(narrowestLastColumn, options.width - before);
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) =>
        column === head.length - 1 ? cut(cell, lastWidth) : cell.padEnd(widths[column] ?? 0),
      )
      .join(gap)
      .trimEnd();
  return [options.style.dim(line(head)), ...cells.map(line)].map((text) => `${text}\n`).join("");
}

const cut = (text: string, width: number | undefined): string =>
  width === undefined || text.length <= width ? text : `${text.slice(0, width - 1)}…`;

/** `name: value` lines with the values below each other; null and empty values are left out. */
export function details(pairs: readonly (readonly [string, string | null])[], style: Style): string {
  const shown = pairs.filter((pair): pair is readonly [string, string] => pair[1] !== null && pair[1] !== "");
  const width = Math.max(0, ...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${style.dim(name.padEnd(width))}  ${clean(value)}\n`).join("");
}
