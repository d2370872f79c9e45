/** What could come next on a command line, for the shells: commands, flags, and the names that there are now. */
import type { ArgDef } from "citty";
import { dashed } from "./base/check.js";
import { command } from "./base/command.js";
import { type Context, print } from "./base/context.js";
import { isGroup, type Leaf, type Node, root, shown } from "./tree.js";

export interface Candidate {
  word: string;
  about: string;
}

/** A shell waits for this at every press of a key: no names come from a daemon that is slow to tell them. */
const daemonDeadlineMs = 500;

export const complete = command({
  summary: "Print possible completions; shells call this",
  usage: "-- WORD…",
  examples: ["banger __complete -- vm start ''"],
  takesCommand: true,
  withoutJson: "for shells to read",
  flags: {},
  async run(_flags, { context, command: words = [] }) {
    const lines = (await candidates(words, context)).map(({ word, about }) => `${word}\t${about}\n`);
    await print(context, lines.join(""));
    return 0;
  },
});

/** `words` are those after "banger"; the last one is being typed. Those that fit it, in the order of the help. */
export async function candidates(words: readonly string[], context: Context): Promise<Candidate[]> {
  const typed = words.at(-1) ?? "";
  const before = words.slice(0, -1);
  // What follows belongs to the guest.
  if (before.includes("--")) return [];
  const { node, leaf, path } = walk(before);
  const all: Candidate[] = [];
  if (isGroup(node)) all.push(...shown(node).map(([word, { summary }]) => ({ word, about: summary })));
  if (leaf !== undefined) all.push(...(await ofLeaf(leaf, path, before.at(-1) ?? "", typed, context)));
  return all.filter(({ word }) => word.startsWith(typed) && !before.includes(word));
}

function walk(words: readonly string[]): { node: Node; leaf: Leaf | undefined; path: string[] } {
  let node: Node = root;
  const path: string[] = [];
  for (const word of words) {
    if (!isGroup(node)) break;
    const found: [string, Node] | undefined = shown(node).find(
      ([name, { alias }]) => name === word || alias === word,
    );
    if (found === undefined) break;
    path.push(found[0]);
    node = found[1];
  }
  return { node, leaf: isGroup(node) ? node.itself : node, path };
}

async function ofLeaf(
  leaf: Leaf,
  path: readonly string[],
  previous: string,
  typed: string,
  context: Context,
): Promise<Candidate[]> {
  const { flags, words } = await leaf.load();
  const flag = previous.startsWith("--") ? flags[previous.slice(2)] : undefined;
  if (flag !== undefined && flag.type !== "boolean") {
    return flag.valueHint === "IMAGE" ? imageNames(context) : alternatives(flag);
  }
  if (typed.startsWith("-")) return Object.entries(flags).map(flagWord);
  if (words?.name !== "REF" && path[0] !== "image" && path[0] !== "events") return [];
  return path[0] === "image" ? imageNames(context) : vmNames(context);
}

/** Of a value such as `on|off`. */
const alternatives = ({ valueHint = "" }: ArgDef): Candidate[] =>
  valueHint.includes("|") ? valueHint.split("|").map((word) => ({ word, about: "" })) : [];

const flagWord = ([name, flag]: [string, ArgDef]): Candidate => ({
  word: flag.type === "boolean" && flag.default === true ? `--no-${name}` : dashed(name),
  about: flag.description ?? "",
});

const vmNames = (context: Context): Promise<Candidate[]> =>
  unlessSilent(async () => {
    const vms = await context.client.passive.call("vmList", { timeoutMs: daemonDeadlineMs });
    return vms.map(({ name, phase, image }) => ({ word: name, about: `${phase}, ${image}` }));
  });

const imageNames = (context: Context): Promise<Candidate[]> =>
  unlessSilent(async () => {
    const images = await context.client.passive.call("imageList", { timeoutMs: daemonDeadlineMs });
    return images.map(({ name, phase }) => ({ word: name, about: phase }));
  });

/** Nothing where no daemon answers: completion starts none and shows no error. */
const unlessSilent = (ask: () => Promise<Candidate[]>): Promise<Candidate[]> => ask().catch(() => []);
