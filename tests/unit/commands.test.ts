/** The commands that there must be, walked to through the tree; the manual page has each of them. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { manText } from "../../docs/man.js";
import { isGroup, type Node, root } from "../../src/cli/tree.js";

/** What the specification gives user mode. */
const specified = [
  ..."run create start stop restart kill delete set list show logs stats health ports ssh prune history why"
    .split(" ")
    .map((verb) => `vm ${verb}`),
  ...["vm workspace prepare", "vm workspace export", "image cache prune"],
  ..."list show pull register promote delete".split(" ").map((verb) => `image ${verb}`),
  ..."list show pull import rm".split(" ").map((verb) => `kernel ${verb}`),
  ...["events", "events replay", "events verify", "daemon status", "daemon stop"],
  ...["doctor", "ssh-config", "version", "completion"],
];

const repository = new URL("../../../", import.meta.url);
const read = (path: string) => readFileSync(new URL(path, repository), "utf8");

test("every command that user mode has by its specification is there, and lists and deletes have their aliases", () => {
  for (const path of specified) {
    let node: Node | undefined = root;
    for (const word of path.split(" ")) node = node && isGroup(node) ? node.commands[word] : undefined;
    assert.ok(node !== undefined && (!isGroup(node) || node.itself !== undefined), path);
    const last = path.split(" ").at(-1);
    if (last === "list") assert.equal(node.alias, "ls", path);
    if (last === "delete") assert.equal(node.alias, "rm", path);
  }
});

test("docs/banger.1 is what the commands make of it, and has every one that is specified", async () => {
  const { version } = JSON.parse(read("package.json")) as { version: string };
  const page = await manText(version);
  assert.ok(read("docs/banger.1") === page, "docs/banger.1 is stale: npm run docs");
  for (const path of specified) {
    assert.match(page, new RegExp(`^\\.Ss "banger ${path.replaceAll("-", "\\\\-")}[ "]`, "m"), path);
  }
});
