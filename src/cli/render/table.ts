/** Columns for people: as wide as their widest cell, the last one cut to the terminal. */
import { clean, type Style } from "./style.js";

export interface TableOptions {
  style: Style;
  /** Width of the terminal; nothing is cut without one. */
  width?: number | undefined;
  /** Colours by the column's title. */
  paint?: Readonly<Record<string, (cell: string) => string>>;
}

/** Sixty-four digits eat the width, and twelve tell one digest from another. */
const shortDigests = (text: string): string => text.replace(/(sha256:[0-9a-f]{12})[0-9a-f]{52}/g, "$1…");

const gap = "  ";
const narrowestLastColumn = 12;

export function table(
  titles: readonly string[],
  rows: readonly (readonly string[])[],
  options: TableOptions,
): string {
  // A column that says nothing of anything is left out.
  const shown = [...titles.keys()].filter((at) => rows.length === 0 || rows.some((row) => row[at] !== ""));
  const head = shown.map((at) => titles[at] ?? "");
  const cells = rows.map((row) => shown.map((at) => shortDigests(clean(row[at] ?? ""))));
  const widths = head.map((title, column) =>
    Math.max(title.length, ...cells.map((row) => row[column]?.length ?? 0)),
  );
  const before = widths.slice(0, -1).reduce((sum, width) => sum + width + gap.length, 0);
  const lastWidth =
    options.width === undefined ? undefined : Math.max(narrowestLastColumn, options.width - before);
  const padded = (cell: string, column: number): string =>
    column === head.length - 1 ? cut(cell, lastWidth) : cell.padEnd(widths[column] ?? 0);
  const line = (row: readonly string[]): string => row.map(padded).join(gap).trimEnd();
  const painted = (row: readonly string[]): string =>
    row
      .map((cell, column) => {
        const paint = options.paint?.[head[column] ?? ""] ?? ((text: string) => text);
        const text = padded(cell, column);
        return paint(cell) === cell ? text : text.replace(cell, () => paint(cell));
      })
      .join(gap)
      .trimEnd();
  return [options.style.dim(line(head)), ...cells.map(painted)].map((text) => `${text}\n`).join("");
}

const cut = (text: string, width: number | undefined): string =>
  width === undefined || text.length <= width ? text : `${text.slice(0, width - 1)}…`;

/** `name: value` lines with the values below each other; null and empty values are left out. */
export function details(pairs: readonly (readonly [string, string | null])[], style: Style): string {
  const shown = pairs.filter((pair): pair is readonly [string, string] => pair[1] !== null && pair[1] !== "");
  const width = Math.max(0, ...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${style.dim(name.padEnd(width))}  ${clean(value)}\n`).join("");
}
