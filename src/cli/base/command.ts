/** What a command of the CLI is: a citty definition, and what citty does not know: words, examples and `--`. */
import type { ArgsDef, ParsedArgs } from "citty";
import type { Context } from "./context.js";

/** What a command gets beside its flags. */
export interface Invocation {
  context: Context;
  /** Every argument that is not a flag. */
  words: string[];
  /** What stands after `--`; undefined without one. */
  command: string[] | undefined;
  /** All values of every value flag, by the flag's name, in the order given. */
  all: Record<string, string[]>;
}

interface Traits {
  summary: string;
  /** What follows the command's name in its usage line. */
  usage: string;
  examples: readonly string[];
  /** How many words it takes; none unless told. */
  words?: { min: number; max: number; name: string };
  /** Why it has no `--json`, where it has none: what it prints is not a result. */
  withoutJson?: string;
  /** Whether `-- CMD` is understood. */
  takesCommand?: boolean;
  /** Whether it ends with the status of a guest's command, so that its own failures need another one. */
  guestStatus?: boolean;
  /** What `--help` tells beside flags and examples. */
  moreHelp?: (context: Context) => Promise<string>;
}

export interface Command extends Traits {
  flags: ArgsDef;
  /** Gives the exit status; 0 when it returns nothing. */
  run: (flags: ParsedArgs, invocation: Invocation) => Promise<number | undefined>;
}

interface Definition<A extends ArgsDef> extends Traits {
  flags: A;
  run: (flags: ParsedArgs<A>, invocation: Invocation) => Promise<number | undefined>;
}

/** Ties what `run` gets to the flags of its command, and gives it `--json`: `context.json` tells whether it was given. */
export function command<const A extends ArgsDef>(definition: Definition<A>): Command {
  const made = definition as unknown as Command;
  return made.withoutJson === undefined ? { ...made, flags: { ...made.flags, json: jsonFlag } } : made;
}

const jsonFlag = { type: "boolean", description: "Print the result, or the error, as JSON" } as const;

/** Flags that many commands share. */
export const rawFlag = {
  type: "boolean",
  description: "Print the guest's bytes unchanged even on a terminal, including colors and control sequences",
} as const;
export const quietFlag = { type: "boolean", alias: "q", description: "Print only ids" } as const;
export const oneRef = { min: 1, max: 1, name: "REF" };
export const manyRefs = { min: 1, max: Number.POSITIVE_INFINITY, name: "REF" };
