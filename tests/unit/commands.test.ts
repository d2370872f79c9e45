/** The commands that there must be, walked to through the tree. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isGroup, type Node, root } from "../../src/cli/tree.js";

/** What the specification gives user mode. */
const specified = [
  ..."run create start stop restart kill delete set list show logs stats health ports ssh prune history why"
    .split(" ")
    .map((verb) => `vm ${verb}`),
  ...["vm workspace prepare", "vm workspace export", "image list", "image pull"],
  ...["events", "events replay", "events verify", "daemon status", "daemon stop"],
  ...["doctor", "ssh-config", "version", "completion"],
];

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
