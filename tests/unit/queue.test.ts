/** The queue: one pass of a key at a time, as many keys as allowed, no wake lost, and a clean end. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Queue } from "../../src/loop/queue.js";

/** Passes that end when the test says so. */
class Passes {
  readonly running: string[] = [];
  readonly begun: string[] = [];
  readonly #ends = new Map<string, () => void>();

  run = (key: string): Promise<void> => {
    assert.ok(!this.running.includes(key), `two passes of ${key}`);
    this.begun.push(key);
    this.running.push(key);
    return new Promise((resolve) => this.#ends.set(key, resolve));
  };

  async end(key: string): Promise<void> {
    this.running.splice(this.running.indexOf(key), 1);
    this.#ends.get(key)?.();
    await nextTurn();
  }
}

test("many keys at once, never more than allowed, in the order of their wakes", async () => {
  const passes = new Passes();
  const keys = new Queue(2, passes.run);
  for (const key of ["a", "b", "c", "d", "c"]) keys.wake(key);
  assert.deepEqual(passes.running, ["a", "b"]);
  await passes.end("a");
  assert.deepEqual(passes.running, ["b", "c"]);
  await passes.end("b");
  await passes.end("c");
  await passes.end("d");
  assert.deepEqual(passes.begun, ["a", "b", "c", "d"]);
});

test("wakes during a pass mean one more pass, after it", async () => {
  const passes = new Passes();
  const keys = new Queue(4, passes.run);
  for (let n = 0; n < 5; n++) keys.wake("a");
  assert.deepEqual(passes.begun, ["a"]);
  await passes.end("a");
  assert.deepEqual(passes.begun, ["a", "a"]);
  await passes.end("a");
  assert.deepEqual(passes.running, []);
});

test("a key that waits for its own pass does not hold up the others", async () => {
  const passes = new Passes();
  const keys = new Queue(2, passes.run);
  for (const key of ["a", "a", "b"]) keys.wake(key);
  assert.deepEqual(passes.running, ["a", "b"]);
});

test("drain forgets what waits and resolves when what runs has ended", async () => {
  const passes = new Passes();
  const keys = new Queue(1, passes.run);
  keys.wake("a");
  keys.wake("b");
  let drained = false;
  const drain = keys.drain().then(() => {
    drained = true;
  });
  await nextTurn();
  assert.equal(drained, false);
  await passes.end("a");
  await drain;
  assert.deepEqual(passes.begun, ["a"]);
  await keys.drain();
});
