/** 200 seeds: whatever dies whenever, the host ends as it is wanted and nothing acknowledged is lost. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { reached } from "../reached.js";
import { trySeed } from "./main.js";
import { addMarks, leastMarks } from "./marks.js";
import { Run } from "./run.js";
import { scenario } from "./scenario.js";

const seeds = 200;
const perTest = 50;
const marks = new Map<string, number>();

for (let first = 1; first <= seeds; first += perTest) {
  test(`seeds ${first} to ${first + perTest - 1} hold`, async () => {
    for (let seed = first; seed < first + perTest; seed++) {
      const result = await trySeed(seed);
      if (typeof result === "string") assert.fail(result);
      addMarks(marks, result);
    }
  });
}

test(`the ${seeds} seeds came to every rare case that they are for`, (t) => {
  const hit = reached(t, leastMarks);
  for (const [mark, count] of marks) for (let n = 0; n < count; n++) hit(mark);
});

test("a seed replays exactly", async () => {
  const traces = [];
  for (let run = 0; run < 2; run++) traces.push((await new Run(scenario(7)).outcome()).trace);
  assert.ok((traces[0]?.length ?? 0) > 20);
  assert.deepEqual(traces[0], traces[1]);
});
