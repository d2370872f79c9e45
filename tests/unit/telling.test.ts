/** What of failures that go on goes into the log, and how long a guest waits that has to be brought back again. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Told, tell } from "../../src/loop/telling.js";
import { countRecovery, noRecoveries, recoverAt } from "../../src/model/recovery.js";

const minute = 60_000;

/** How many of the failures are told, one each `everyMs` over `forMs`, and the last of them. */
function toldOf(
  message: (n: number) => string,
  everyMs: number,
  forMs: number,
): { count: number; last: Told } {
  let last: Told | undefined;
  let count = 0;
  for (let n = 0; n * everyMs < forMs; n++) {
    const { told, say } = tell(last, message(n), n * everyMs);
    last = told;
    if (say) count += 1;
  }
  return { count, last: last as Told };
}

test("the same failure is told once, however long it goes on", () => {
  const { count, last } = toldOf(() => "no", 30_000, 24 * 60 * minute);
  assert.deepEqual([count, last.untold], [1, 2 * 60 * 24 - 1]);
});

test("failures that read differently each time are told ever more rarely, and none is uncounted", () => {
  const hour = toldOf((n) => `port ${n}`, 10, 60 * minute);
  assert.ok(hour.count > 3 && hour.count <= 7, `${hour.count} in the first hour`);
  const day = toldOf((n) => `port ${n}`, 1000, 24 * 60 * minute);
  assert.ok(day.count <= 7 + 24, `${day.count} in a day`);
});

test("after a quiet hour a failure is news again, the same one too", () => {
  const { told } = tell(undefined, "no", 0);
  assert.equal(tell(told, "no", 59 * minute).say, false);
  assert.equal(tell(told, "no", 60 * minute).say, true);
});

test("a guest is brought back at once the first time, then ever later, and at once again after a calm time", () => {
  let recoveries = noRecoveries;
  const waits: number[] = [];
  let now = 1_000_000;
  for (let n = 0; n < 12; n++) {
    recoveries = countRecovery(recoveries, now);
    waits.push((recoverAt(recoveries) - now) / 1000);
    now = recoverAt(recoveries) + 2000;
  }
  assert.deepEqual(waits, [0, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
  assert.equal(recoverAt(countRecovery(recoveries, now + 11 * minute)), now + 11 * minute);
});
