/** Deadlines: each of their ends, and that the garbage collector is none of them. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { deadline } from "../../src/lib/deadline.js";
import { ManualClock } from "../manual-clock.js";

const late = () => new Error("late");

test("time, a source and abort each end it, with their own reason", async () => {
  const clock = new ManualClock();
  const byTime = deadline(clock, 100, late);
  await clock.advance(99);
  assert.equal(byTime.signal.aborted, false);
  await clock.advance(1);
  assert.equal((byTime.signal.reason as Error).message, "late");

  const source = new AbortController();
  const bySource = deadline(clock, 100, late, new AbortController().signal, source.signal);
  source.abort("gone");
  assert.equal(bySource.signal.reason, "gone");
  assert.equal(deadline(clock, 100, late, source.signal).signal.reason, "gone");

  const released = deadline(clock, 100, late, source.signal);
  const byHand = deadline(clock, 100, late);
  byHand.abort("enough");
  assert.equal(byHand.signal.reason, "enough");
  released.release();
});

test("a released one ends no more", async () => {
  const clock = new ManualClock();
  const source = new AbortController();
  const bound = deadline(clock, 100, late, source.signal);
  bound.release();
  source.abort();
  await clock.advance(1000);
  assert.equal(bound.signal.aborted, false);
});

test("it is not collected before it ends", () => {
  const module = new URL("../../src/lib/deadline.js", import.meta.url).href;
  const clock = new URL("../../src/lib/clock.js", import.meta.url).href;
  const script = `
    const { deadline } = await import(${JSON.stringify(module)});
    const { systemClock } = await import(${JSON.stringify(clock)});
    let ended = 0;
    for (let n = 0; n < 50; n++) {
      const source = new AbortController();
      deadline(systemClock, 20, () => new Error("late"), source.signal)
        .signal.addEventListener("abort", () => { ended += 1; });
    }
    for (let n = 0; n < 10; n++) { gc(); await new Promise((resolve) => setTimeout(resolve, 10)); }
    console.log(ended);`;
  const flags = ["--expose-gc", "--input-type=module", "-e", script];
  assert.equal(execFileSync(process.execPath, flags, { encoding: "utf8" }).trim(), "50");
});
