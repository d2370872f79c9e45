/** Refuses what citty lets pass: unknown flags, flags without their value, too many or too few words. */
import { parseArgs } from "node:util";
import type { ArgDef } from "citty";
import { BangerError } from "../errors.js";
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

const dashed = (name: string): string => (name.length === 1 ? `-${name}` : `--${name}`);

/** Every spelling of every flag, to the flag's own name. */
function spellings(command: Command): Map<string, { name: string; flag: ArgDef }> {
  const known = new Map<string, { name: string; flag: ArgDef }>();
  for (const [name, flag] of Object.entries(command.flags)) {
    for (const spelling of [name, ...aliasesOf(flag)]) known.set(spelling, { name, flag });
    if (flag.type === "boolean") known.set(`no-${name}`, { name, flag });
  }
  return known;
}

export interface Arguments {
  words: string[];
  /** All values of every value flag, in the order given; citty keeps the last one. */
  all: Record<string, string[]>;
}

/**
 * The words and repeated flags in `argv`, which holds what stands before `--`.
 * @throws BangerError `usage`
 */
export async function checkArguments(
  command: Command,
  path: string,
  argv: readonly string[],
): Promise<Arguments> {
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
  const all: Record<string, string[]> = {};
  for (const token of tokens) {
    if (token.kind === "positional") words.push(token.value);
    if (token.kind !== "option") continue;
    const found = known.get(token.name);
    if (found === undefined) {
      const { suggest } = await import("../suggest.js");
      const meant = suggest(token.name, [...known.keys(), "help"]);
      throw usageError(
        `unknown flag ${token.rawName}`,
        meant === undefined ? help : `${dashed(meant)}, or see ${help}`,
      );
    }
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
  checkWords(command, path, words);
  return { words, all };
}

function checkWords(command: Command, path: string, words: readonly string[]): void {
  const { min, max, name } = command.words ?? { min: 0, max: 0, name: "" };
  const usage = `banger ${path} ${command.usage}`;
  if (words.length < min) throw usageError(`${name} is missing`, usage);
  const extra = words[max];
  if (extra === undefined) return;
  if (command.refuseWord !== undefined) throw command.refuseWord(extra);
  const after = command.takesCommand ? "; a command for the guest goes after --" : "";
  throw usageError(`unexpected argument "${extra}"${after}`, usage);
}
