/** Refuses what citty lets pass: unknown flags, flags without their value, too many or too few words. */
import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import type { ArgDef } from "citty";
import { BangerError } from "../../lib/errors.js";
import { shellQuote } from "../../lib/shell.js";
import type { Command } from "./command.js";

/** A wrong command line: exit status 2. */
export function usageError(message: string, hint: string): BangerError {
  return new BangerError("usage", message, { hint });
}

const aliasesOf = (flag: ArgDef): string[] => {
  const alias = "alias" in flag ? flag.alias : undefined;
  return alias === undefined ? [] : [alias].flat();
};

/** `[=WORD]` of a flag that stands alone or with that word; empty for every other. */
export const optionalValue = (flag: ArgDef): string =>
  "valueHint" in flag && flag.valueHint?.startsWith("[=") ? flag.valueHint : "";

export const dashed = (name: string): string => (name.length === 1 ? `-${name}` : `--${name}`);

/** Every spelling of every flag, to the flag's own name. */
function spellings(command: Command): Map<string, { name: string; flag: ArgDef }> {
  const known = new Map<string, { name: string; flag: ArgDef }>();
  for (const [name, flag] of Object.entries(command.flags)) {
    for (const spelling of [name, ...aliasesOf(flag)]) known.set(spelling, { name, flag });
    if (flag.type === "boolean") known.set(`no-${name}`, { name, flag });
  }
  return known;
}

export interface Line {
  command: Command;
  /** The words that lead to it. */
  path: string;
  /** What stands before `--`. */
  argv: readonly string[];
  /** Whether there is a `--`. */
  dashes: boolean;
}

export interface Arguments {
  words: string[];
  /** All values of every value flag, in the order given; citty keeps the last one. */
  all: Record<string, string[]>;
}

/**
 * The words and repeated flags of a command line.
 * @throws BangerError `usage`
 */
export async function checkArguments(line: Line): Promise<Arguments> {
  const { command, path, argv } = line;
  const known = spellings(command);
  const help = `banger ${path} --help`;
  const options = Object.fromEntries(
    Object.entries(command.flags).map(([name, flag]) => {
      const short = aliasesOf(flag).find((alias) => alias.length === 1);
      const type = flag.type === "boolean" ? ("boolean" as const) : ("string" as const);
      return [name, short === undefined ? { type } : { type, short }];
    }),
  );
  const { tokens } = parseArgs({
    args: [...argv],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const words: string[] = [];
  const indexes: number[] = [];
  const all: Record<string, string[]> = {};
  for (const token of tokens) {
    if (token.kind === "positional") {
      words.push(token.value);
      indexes.push(token.index);
    }
    if (token.kind !== "option") continue;
    const found = known.get(token.name);
    if (found === undefined) throw await unknownFlag(token.rawName, known, line, indexes);
    if (found.flag.type === "boolean") {
      if (token.value === undefined) continue;
      const optional = optionalValue(found.flag);
      if (optional === "") throw usageError(`${token.rawName} takes no value`, help);
      if (optional !== `[=${token.value}]`)
        throw usageError(`${token.rawName} does not take the value "${token.value}"`, help);
      all[found.name] = [token.value];
      continue;
    }
    if (token.value === undefined || (!token.inlineValue && token.value.startsWith("-"))) {
      throw usageError(`${token.rawName} needs a value`, help);
    }
    all[found.name] = [...(all[found.name] ?? []), token.value];
  }
  checkWords(line, words, indexes);
  return { words, all };
}

const noWords = { min: 0, max: 0, name: "" };
const goesAfter = "; a command for the guest goes after --";

/** After the first word a flag that is not known is mostly one of a command that lacks its `--`. */
async function unknownFlag(
  rawName: string,
  known: ReadonlyMap<string, unknown>,
  line: Line,
  indexes: readonly number[],
): Promise<BangerError> {
  const { suggest } = await import("../../lib/suggest.js");
  const safe = [...known.keys(), "help"].filter((name) => !neverProposed.has(name));
  const meant = suggest(rawName.replace(/^-+/, ""), safe);
  const help = `banger ${line.path} --help`;
  const guests = line.command.takesCommand === true && !line.dashes && indexes.length > 0;
  const hint = meant === undefined ? help : `${dashed(meant)}, or see ${help}`;
  return usageError(
    `unknown flag ${rawName}${guests ? goesAfter : ""}`,
    guests && meant === undefined ? withDashes(line, indexes) : hint,
  );
}

/** Flags that take something away, or the question whether it shall go. */
const neverProposed = new Set(["force", "purge", "yes", "rm"]);

/**
 * The command line as it was meant by whoever left out the `--`: the guest's command begins after the words that are
 * the command's own. A path that may be left out is one only where there is such a file.
 */
function withDashes({ command, path, argv }: Line, indexes: readonly number[]): string {
  const words = command.words ?? noWords;
  const [first = 0] = indexes;
  const optional = words.min === 0 && !existsSync(argv[first] ?? "");
  const begin = (optional ? indexes[0] : indexes[words.max]) ?? (indexes[0] ?? 0) + 1;
  const quote = (part: readonly string[]) => part.map(shellQuote);
  const rest = argv.slice(begin);
  return [
    "banger",
    path,
    ...quote(argv.slice(0, begin)),
    "--",
    ...(rest.length === 0 ? ["CMD"] : quote(rest)),
  ].join(" ");
}

function checkWords(line: Line, words: readonly string[], indexes: readonly number[]): void {
  const { command, path, dashes } = line;
  const { min, max, name } = command.words ?? noWords;
  const usage = `banger ${path} ${command.usage}`;
  if (words.length < min) throw usageError(`${name} is missing`, usage);
  if (words.includes("")) throw usageError(`${name} is empty`, usage);
  const extra = words[max];
  if (extra === undefined) return;
  if (!command.takesCommand || dashes) throw usageError(`unexpected argument "${extra}"`, usage);
  throw usageError(`unexpected argument "${extra}"${goesAfter}`, withDashes(line, indexes));
}
