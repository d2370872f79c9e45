/** A terminal's input: read in the foreground only, and read on when that comes back. */
import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { groupsOf, TerminalInput } from "../../src/cli/vm/terminal-input.js";
import { systemClock } from "../../src/lib/clock.js";
import { until } from "../e2e/harness.js";

test("the groups of a process are read behind its name, whatever that holds", () => {
  assert.deepEqual(groupsOf("7 (a) b (c) S 1 41 42 34816 43 4194560 1"), { own: 41, foreground: 43 });
  assert.deepEqual(groupsOf("7 (sh) S 1 41 42 0 -1 4194560 1"), { own: 41, foreground: -1 });
});

test("keys that are typed while a process is in the background stay where they are", async () => {
  const terminal = new PassThrough();
  let foreground = false;
  const input = new TerminalInput(terminal as unknown as NodeJS.ReadStream, systemClock, () => foreground);
  let read = "";
  input.on("data", (bytes: Buffer) => (read += bytes.toString()));
  terminal.write("typed\n");
  for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(read, "");
  assert.equal(terminal.readableLength, "typed\n".length);
  foreground = true;
  process.emit("SIGCONT", "SIGCONT");
  await until("it is read", () => read === "typed\n");
  terminal.end();
  await until("its end is told", () => input.readableEnded);
});

test("a terminal that has gone is an error", async () => {
  const terminal = new PassThrough();
  const input = new TerminalInput(terminal as unknown as NodeJS.ReadStream, systemClock, () => true);
  const failed = new Promise((resolve) => input.once("error", resolve));
  input.resume();
  terminal.destroy(new Error("EIO"));
  assert.match(String(await failed), /EIO/);
});
