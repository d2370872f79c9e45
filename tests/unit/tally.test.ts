/** The tally of a test run: what is left out is said with its reason, and what this machine has is no reason. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestEvent } from "node:test/reporters";
import { Tally } from "../tally.js";

function tallyOf(...ends: { skip?: string | boolean; type?: "suite" }[]): Tally {
  const tally = new Tally();
  for (const { skip, type } of ends)
    tally.note({ type: "test:pass", data: { name: "it", skip, details: { type } } } as unknown as TestEvent);
  return tally;
}

test("tests are counted without their suites, and those left out by their reasons", () => {
  assert.equal(tallyOf({}, {}, { type: "suite" }).line("unit"), "unit: 2 tests ran, none skipped");
  const some = tallyOf({}, { skip: "no moon" }, { skip: "no moon" }, { skip: "no sun", type: "suite" });
  assert.equal(some.line("unit"), "unit: 1 tests ran, 3 skipped: 2 no moon; 1 no sun");
  assert.deepEqual(some.wrong(), []);
});

test("a run of which nothing ran is no proof, nor is one that leaves out what it could have run", () => {
  assert.deepEqual(tallyOf({ skip: "no moon" }).wrong(), ["no test ran"]);
  assert.match(tallyOf({}, { skip: true }).wrong().join(), /no reason given/);
  const asRoot = tallyOf({}, { skip: "needs root" }).wrong();
  const isRoot = process.getuid?.() === 0;
  assert.deepEqual(asRoot, isRoot ? ["skipped, though this machine has it: needs root"] : []);
});
