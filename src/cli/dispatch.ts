/** From the words of a command line to the command that they mean. */
import type { BangerError } from "../lib/errors.js";
import { usageError } from "./base/check.js";
import { type Group, isGroup, type Leaf, type Node, root, shown } from "./tree.js";

export interface Route {
  /** The words that lead there, without aliases: "vm list". */
  path: string;
  node: Node;
  /** The command to run; undefined for a group that does nothing by itself. */
  leaf: Leaf | undefined;
  /** What follows those words, up to `--`. */
  rest: string[];
  /** What follows `--`; undefined without one. */
  command: string[] | undefined;
  /** Whether help is asked for instead. */
  help: boolean;
}

/** What other programs of this kind call it. */
const fromElsewhere: Readonly<Record<string, string>> = {
  ps: "banger vm list",
  images: "banger image list",
  shell: "banger vm ssh REF",
  pull: "banger image pull NAME",
};

const isHelp = (word: string): boolean => word === "--help" || word === "-h";

/** @throws BangerError `usage` for a word that is not a command */
export async function dispatch(argv: readonly string[]): Promise<Route> {
  const split = argv.indexOf("--");
  const command = split === -1 ? undefined : argv.slice(split + 1);
  let words = argv.slice(0, split === -1 ? undefined : split);
  let help = words.some(isHelp);
  words = words.filter((word) => !isHelp(word));
  if (words[0] === "help") {
    help = true;
    words.shift();
  }
  if (["--version", "-V", "-v"].includes(words[0] ?? "")) words[0] = "version";
  let node: Node = root;
  const path: string[] = [];
  while (isGroup(node)) {
    const word: string | undefined = words[0];
    const found: [string, Node] | undefined = word === undefined ? undefined : findCommand(node, word);
    if (found === undefined) {
      if (word === undefined || node.itself !== undefined) break;
      throw await unknown(node, path, word);
    }
    words.shift();
    path.push(found[0]);
    node = found[1];
  }
  return {
    path: path.join(" "),
    node,
    leaf: isGroup(node) ? node.itself : node,
    rest: words,
    command,
    help,
  };
}

function findCommand(group: Group, word: string): [string, Node] | undefined {
  return Object.entries(group.commands).find(([name, { alias }]) => name === word || alias === word);
}

/** Who mistypes a word is not led to one that takes something away, nor to the next best one instead. */
function destroys(group: Group, word: string): boolean {
  const node = findCommand(group, word)?.[1];
  return node !== undefined && !isGroup(node) && node.destroys === true;
}

async function unknown(group: Group, path: readonly string[], word: string): Promise<BangerError> {
  const prefix = ["banger", ...path].join(" ");
  const what = word.startsWith("-") ? "flag" : "command";
  const { suggest } = await import("../lib/suggest.js");
  const names = shown(group).flatMap(([name, { alias }]) => [name, alias ?? name]);
  // Of two that are as near, the one that takes something away comes first, so that nothing is proposed.
  const ordered = [...names.filter((name) => destroys(group, name)), ...names];
  const meant = suggest(word, ordered);
  if (meant !== undefined && !destroys(group, meant))
    return usageError(`unknown ${what} "${word}"`, `${prefix} ${meant}`);
  // "banger list" is what somebody types who has not met the nouns yet.
  const elsewhere = Object.entries(root.commands).find(
    ([, node]) => group === root && isGroup(node) && findCommand(node, word) !== undefined,
  );
  const usual = group === root ? fromElsewhere[word] : undefined;
  if (usual !== undefined) return usageError(`unknown ${what} "${word}"`, usual);
  const hint = elsewhere === undefined ? `${prefix} --help` : `banger ${elsewhere[0]} ${word}`;
  return usageError(`unknown ${what} "${word}"`, hint);
}
