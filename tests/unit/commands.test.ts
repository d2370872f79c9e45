/** Every command of the tree: what is said of it is whole, and the ones that were promised are there. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { manText } from "../../docs/man.js";
import { type Group, isGroup, type Leaf, type Node, root, shown } from "../../src/cli/tree.js";

/** What the specification gives user mode: none of it may be lost. */
const promised = [
  ..."run create start stop restart kill delete set list show logs exec stats health ports ssh prune history why"
    .split(" ")
    .map((verb) => `vm ${verb}`),
  ...["vm workspace prepare", "vm workspace export", "image cache prune"],
  ..."list show pull register promote delete".split(" ").map((verb) => `image ${verb}`),
  ..."list show pull import rm".split(" ").map((verb) => `kernel ${verb}`),
  ...["events", "events replay", "events verify", "daemon status", "daemon stop"],
  ...["doctor", "ssh-config", "version", "completion"],
];

interface Entry {
  path: string;
  leaf: Leaf;
}

/** Every command that is for people, by the words that lead to it. */
function entries(node: Node, words: readonly string[] = []): Entry[] {
  if (!isGroup(node)) return [{ path: words.join(" "), leaf: node }];
  const own = node.itself === undefined ? [] : [{ path: words.join(" "), leaf: node.itself }];
  return [...own, ...shown(node).flatMap(([word, child]) => entries(child, [...words, word]))];
}

function groups(group: Group, path = "banger"): [string, Group][] {
  const below = Object.entries(group.commands).flatMap(([word, node]) =>
    isGroup(node) ? groups(node, `${path} ${word}`) : [],
  );
  return [[path, group], ...below];
}

const all = entries(root);
const repository = new URL("../../../", import.meta.url);
const read = (path: string) => readFileSync(new URL(path, repository), "utf8");

test("every command that was promised is there", () => {
  const paths = new Set(all.map(({ path }) => path));
  assert.deepEqual(
    promised.filter((path) => !paths.has(path)),
    [],
  );
});

test("what lists has the alias ls, and what deletes is delete and rm, whichever of them is its name", () => {
  const others: Readonly<Record<string, string>> = { list: "ls", delete: "rm", rm: "delete" };
  const wrong = all.filter(({ path, leaf }) => leaf.alias !== others[path.split(" ").at(-1) ?? ""]);
  assert.deepEqual(
    wrong.map(({ path, leaf }) => `${path}: ${leaf.alias}`),
    [],
  );
});

test("nobody is led by a guess to a command that takes something away", () => {
  for (const { path, leaf } of all)
    if (/\b(delete|rm|kill|prune|uninstall)$/.test(path)) assert.equal(leaf.destroys, true, path);
});

test("in no group two words mean the same, and each has a summary of its own", () => {
  for (const [path, { commands }] of groups(root)) {
    const words = Object.entries(commands).flatMap(([word, { alias }]) => [word, alias ?? []].flat());
    assert.equal(new Set(words).size, words.length, path);
    const summaries = Object.values(commands).map(({ summary }) => summary);
    assert.equal(new Set(summaries).size, summaries.length, path);
  }
});

test("each command has examples that call it, and says what every flag does", async () => {
  for (const { path, leaf } of all) {
    const { examples, flags, summary } = await leaf.load();
    assert.ok(summary.length > 0, path);
    const calls = (example: string): boolean => example.includes(`banger ${path}`);
    assert.ok(examples.some(calls), `${path}: ${examples}`);
    for (const [name, { description }] of Object.entries(flags))
      assert.ok(description !== undefined && description.length > 0, `${path} --${name}`);
  }
});

test("docs/banger.1 is what the commands make of it, and has every one of them", async () => {
  const { version } = JSON.parse(read("package.json")) as { version: string };
  const page = await manText(version);
  assert.ok(read("docs/banger.1") === page, "docs/banger.1 is stale: npm run docs");
  for (const { path } of all)
    assert.match(page, new RegExp(`^\\.Ss "banger ${path.replaceAll("-", "\\\\-")}[ "]`, "m"), path);
});
