/** The configuration file as TOML: its entries under dotted names, each with the line that it stands on. */
import { readFileSync } from "node:fs";
import { parse, TomlError } from "smol-toml";
import { BangerError } from "../lib/errors.js";

export interface ConfigEntry {
  /** `key`, or `table.key` for what stands in one of the known tables; a list's name for each of its tables. */
  name: string;
  line: number;
  value: unknown;
}

/**
 * The text of the file, "" when there is none.
 * @throws BangerError `config_unreadable`
 */
export function readConfigText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return "";
    const message = `cannot read ${path}: ${(cause as Error).message}`;
    throw new BangerError("config_unreadable", message, { hint: `ls -l ${path}`, cause });
  }
}

/**
 * Every entry of the file; those of `tables` and `lists` are taken apart, and a table that is none comes as one entry.
 * @throws BangerError `config_invalid` when it is not TOML
 */
export function configEntries(
  text: string,
  path: string,
  { tables, lists }: { tables: ReadonlySet<string>; lists: ReadonlySet<string> },
): ConfigEntry[] {
  const entries: ConfigEntry[] = [];
  const add = (name: string, value: unknown) => entries.push({ name, line: lineOf(text, name), value });
  for (const [name, value] of Object.entries(parseToml(text, path))) {
    const isTable = typeof value === "object" && value !== null && !Array.isArray(value);
    if (lists.has(name) && Array.isArray(value)) {
      const headers = linesOfTables(text, name);
      for (const [nth, element] of value.entries())
        entries.push({ name, line: headers[nth] ?? lineOf(text, name), value: element });
    } else if (!tables.has(name) || !isTable) add(name, value);
    else for (const [key, inner] of Object.entries(value)) add(`${name}.${key}`, inner);
  }
  return entries;
}

function parseToml(text: string, path: string): Record<string, unknown> {
  try {
    return parse(text);
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause;
    const [what] = cause.message.split("\n");
    throw new BangerError("config_invalid", `${path}:${cause.line}: ${what}`, {
      hint: `edit ${path}`,
      cause,
    });
  }
}

/** Lines of the headers `[[name]]`, in their order. */
const linesOfTables = (text: string, name: string): number[] =>
  text
    .split("\n")
    .flatMap((line, index) => (/^\s*\[\[([^\]]+)\]\]/.exec(line)?.[1]?.trim() === name ? [index + 1] : []));

/** Line on which the file sets `name`, else that of the table or inline table around it, else the first. */
function lineOf(text: string, name: string): number {
  const bare = (written: string | undefined) => (written ?? "").replace(/["'\s]/g, "");
  let table = "";
  let around = 0;
  for (const [index, line] of text.split("\n").entries()) {
    const header = /^\s*\[+([^\]]+)\]/.exec(line)?.[1];
    if (header !== undefined) table = bare(header);
    const key = bare(/^\s*([^=#[]+)=/.exec(line)?.[1]);
    const here = [table, key].filter((part) => part !== "").join(".");
    if (here === name) return index + 1;
    if (around === 0 && here !== "" && name.startsWith(`${here}.`)) around = index + 1;
  }
  return Math.max(around, 1);
}
