/** What a guest can make the log take, which is for good: little, whatever it does for an hour. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Run } from "./run.js";
import type { Action } from "./scenario.js";

const bootMs = 60_000;
const hourSeconds = 3600;
/** A page of `banger events` a quarter of an hour. */
const mostAnHour = 200;

const everySeconds = 6;

/** What a guest does each time. */
const deeds: Readonly<Record<string, (turn: number) => Action[]>> = {
  "ports that come and go, and cannot be forwarded": (turn) =>
    [1, 7].map((step) => ({ kind: "listen", name: 0, port: 1000 + ((turn * step) % 90), afterMs: 0 })),
  "reboots, each as soon as it is up again": () => [{ kind: "rebootGuest", name: 0, afterMs: 0 }],
  "writes that fill a disk which is emptied again and again": (turn) => [
    { kind: turn % 2 === 0 ? "fillDisk" : "freeDisk", afterMs: 0 },
  ],
};

/** Events of such streams in the hour of the run that has most of them. */
function mostInAnHour(trace: readonly string[], stream: RegExp): number {
  const times = trace.filter((line) => stream.test(line)).map((line) => Number.parseFloat(line));
  return Math.max(...times.map((at, n) => times.slice(n).filter((each) => each < at + hourSeconds).length));
}

for (const [name, deed] of Object.entries(deeds)) {
  test(`an hour of ${name} is at most ${mostAnHour} events`, async () => {
    const actions: Action[] = [
      { kind: "create", name: 0, start: true, afterMs: 0 },
      { kind: "startDaemon", afterMs: bootMs },
      { kind: "refuseForwards", afterMs: 0 },
    ];
    for (let turn = 0; turn * everySeconds < hourSeconds; turn++)
      actions.push({ kind: "startDaemon", afterMs: everySeconds * 1000 }, ...deed(turn));
    const outcome = await new Run({ seed: 1, mode: "user", faults: false, actions }).outcome();
    assert.deepEqual(outcome.problems, []);
    const most = mostInAnHour(outcome.trace, / event \d+ vm\//);
    assert.ok(most > 8 && most <= mostAnHour, `${most} events in an hour`);
  });
}

for (const kind of ["deleteBridge", "flushFirewall", "forgetNames"] as const)
  test(`an hour in which somebody else goes on with ${kind} is at most 30 events of the host`, async () => {
    const actions: Action[] = [{ kind: "create", name: 0, start: true, afterMs: 0 }];
    for (let turn = 0; turn * everySeconds < hourSeconds; turn++)
      actions.push({ kind: "startDaemon", afterMs: everySeconds * 1000 }, { kind, afterMs: 0 });
    const outcome = await new Run({ seed: 1, mode: "system", faults: false, actions }).outcome();
    assert.deepEqual(outcome.problems, []);
    const most = mostInAnHour(outcome.trace, / event \d+ (host|vm\/\S+) /);
    assert.ok(most >= 2 && most <= 30, `${most} events in an hour`);
  });
