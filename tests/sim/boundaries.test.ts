/** A daemon that dies at any one boundary, before or after any append or deed, and comes back: what was asked is done. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Outcome } from "./outcome.js";
import { Run } from "./run.js";
import type { Action } from "./scenario.js";

const bootMs = 60_000;
const up: Action[] = [
  { kind: "create", name: 0, start: true, afterMs: 0 },
  { kind: "startDaemon", afterMs: bootMs },
];
const down: Action[] = [
  ...up,
  { kind: "stop", name: 0, afterMs: 0 },
  { kind: "startDaemon", afterMs: bootMs },
];

interface Scene {
  before: Action[];
  action: Action;
  /** Phase of what the action is about: until the request is in the log, and at the end once it is. */
  from: string | undefined;
  to: string;
  /** How often a guest was ready in the end. */
  boots: number;
  what?: string;
}

const scenes: Readonly<Record<string, Scene>> = {
  "create and start": {
    before: [],
    action: { kind: "create", name: 0, start: true, afterMs: 0 },
    from: undefined,
    to: "running",
    boots: 1,
  },
  start: {
    before: down,
    action: { kind: "start", name: 0, afterMs: 0 },
    from: "stopped",
    to: "running",
    boots: 2,
  },
  stop: {
    before: up,
    action: { kind: "stop", name: 0, afterMs: 0 },
    from: "running",
    to: "stopped",
    boots: 1,
  },
  kill: {
    before: up,
    action: { kind: "kill", name: 0, afterMs: 0 },
    from: "running",
    to: "stopped",
    boots: 1,
  },
  "a larger disk while it runs": {
    before: up,
    action: { kind: "set", name: 0, diskMiB: 4096, afterMs: 0 },
    from: "running",
    to: "running",
    boots: 1,
  },
  restart: {
    before: up,
    action: { kind: "restart", name: 0, afterMs: 0 },
    from: "running",
    to: "running",
    boots: 2,
  },
  "delete while it runs": {
    before: up,
    action: { kind: "delete", name: 0, afterMs: 0 },
    from: "running",
    to: "deleted",
    boots: 1,
  },
  "delete when it has stopped": {
    before: down,
    action: { kind: "delete", name: 0, afterMs: 0 },
    from: "stopped",
    to: "deleted",
    boots: 1,
  },
  pull: {
    before: [],
    action: { kind: "pull", image: 1, afterMs: 0 },
    from: undefined,
    to: "ready",
    boots: 0,
    what: "sim-1",
  },
  "delete an image": {
    before: [
      { kind: "pull", image: 1, afterMs: 0 },
      { kind: "startDaemon", afterMs: 3 * bootMs },
    ],
    action: { kind: "deleteImage", image: 1, afterMs: 0 },
    from: "ready",
    to: "deleted",
    boots: 0,
    what: "sim-1",
  },
};

const deaths = ({ trace }: Outcome): number =>
  trace.filter((line) => line.endsWith("the daemon dies at a boundary")).length;

/** Runs the scene with a daemon that dies at the nth boundary after its action and is back `backMs` later. */
function run({ before, action }: Scene, boundary: number, backMs: number): Promise<Outcome> {
  const actions: Action[] = [
    ...before,
    { kind: "killDaemonAt", boundary, afterMs: 0 },
    action,
    { kind: "startDaemon", afterMs: backMs },
    { kind: "startDaemon", afterMs: bootMs },
  ];
  return new Run({ seed: 1, faults: false, actions }).outcome();
}

for (const [name, scene] of Object.entries(scenes)) {
  for (const [back, backMs] of [
    ["at once", 10],
    ["when a boot has timed out", 90_000],
  ] as const) {
    test(`${name}: the daemon dies at each boundary and is back ${back}`, async () => {
      let boundary = 0;
      for (let died = true; died; ) {
        boundary += 1;
        const outcome = await run(scene, boundary, backMs);
        const told = `boundary ${boundary}: ${outcome.problems.join("; ")}\n${outcome.trace.join("\n")}`;
        died = deaths(outcome) > 0;
        assert.deepEqual(outcome.problems, [], told);
        // The first boundary is the one before the request is in the log; what is in it is never forgotten.
        const asked = boundary > 1;
        assert.equal(outcome.phases[scene.what ?? "vm-0"], asked ? scene.to : scene.from, told);
        const ready = outcome.trace.filter((line) => line.includes(" vm.ready ")).length;
        if (asked) assert.equal(ready, scene.boots, told);
      }
      assert.ok(boundary > 6, `only ${boundary} boundaries`);
    });
  }
}
