/** Daemon or helper dies at any one boundary, before or after any append or deed, and comes back: what was asked is done. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Outcome } from "./outcome.js";
import { Run } from "./run.js";
import type { Action } from "./scenario.js";
import { bootMs, deaths, readies, told, up } from "./scenes.js";

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
  /** Where it tells something; everywhere unless said. */
  modes?: readonly Mode[];
}

type Mode = "user" | "system";

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
  "larger disks while it runs": {
    before: up,
    action: { kind: "set", name: 0, changes: { diskMiB: 4096, rootMiB: 4096 }, afterMs: 0 },
    from: "running",
    to: "running",
    boots: 1,
  },
  "no network any more, while it runs": {
    before: up,
    action: { kind: "set", name: 0, changes: { net: { mode: "none" } }, afterMs: 0 },
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
    modes: ["user"],
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
    modes: ["user"],
  },
};

/** Runs the scene; who dies at a boundary is back `backMs` later. */
function run({ before, action }: Scene, mode: Mode, death: Action, backMs: number): Promise<Outcome> {
  const actions: Action[] = [
    ...before,
    death,
    action,
    { kind: "startDaemon", afterMs: backMs },
    { kind: "startDaemon", afterMs: bootMs },
  ];
  return new Run({ seed: 1, mode, faults: false, actions }).outcome();
}

for (const [name, scene] of Object.entries(scenes)) {
  for (const mode of scene.modes ?? (["user", "system"] as const)) {
    for (const [back, backMs] of [
      ["at once", 10],
      ["when a boot has timed out", 90_000],
    ] as const) {
      test(`${name}, ${mode} mode: the daemon dies at each boundary and is back ${back}`, async () => {
        let boundary = 0;
        for (let died = true; died; ) {
          boundary += 1;
          const outcome = await run(scene, mode, { kind: "killDaemonAt", boundary, afterMs: 0 }, backMs);
          died = deaths(outcome) > 0;
          assert.deepEqual(outcome.problems, [], told(boundary, outcome));
          // The first boundary is the one before the request is in the log; what is in it is never forgotten.
          const asked = boundary > 1;
          const phase = outcome.phases[scene.what ?? "vm-0"];
          assert.equal(phase, asked ? scene.to : scene.from, told(boundary, outcome));
          if (asked) assert.equal(readies(outcome), scene.boots, told(boundary, outcome));
        }
        assert.ok(boundary > 4, `only ${boundary} boundaries`);
      });
    }
  }
}

/** In the others the helper has nothing to do. */
const helped = Object.entries(scenes).filter(([name]) => !/disk|pull|image|has stopped/.test(name));

for (const [name, scene] of helped) {
  for (const backMs of [0, 1000]) {
    test(`${name}: the helper dies at each boundary and is back after ${backMs} ms`, async () => {
      let boundary = 0;
      for (let died = true; died; ) {
        boundary += 1;
        const outcome = await run(
          scene,
          "system",
          { kind: "killHelperAt", boundary, backMs, afterMs: 0 },
          bootMs,
        );
        died = deaths(outcome) > 0;
        assert.deepEqual(outcome.problems, [], told(boundary, outcome));
        assert.equal(outcome.phases["vm-0"], scene.to, told(boundary, outcome));
        assert.equal(readies(outcome), scene.boots, told(boundary, outcome));
      }
      assert.ok(boundary > 2, `only ${boundary} boundaries`);
    });
  }
}

test("a helper that stays away fails a start at its step, and what was made before goes when it is back", async () => {
  for (const [boundary, step] of [
    [1, "disk"],
    [7, "network"],
  ] as const) {
    const death: Action = { kind: "killHelperAt", boundary, backMs: 300_000, afterMs: 0 };
    const outcome = await run(scenes["create and start"] as Scene, "system", death, bootMs);
    assert.deepEqual([deaths(outcome), outcome.problems], [1, []], told(boundary, outcome));
    assert.equal(outcome.phases["vm-0"], "error", told(boundary, outcome));
    const failed = outcome.trace.find((line) => line.includes("vm.step_failed")) ?? "";
    assert.match(
      failed,
      new RegExp(`"code":"helper_unreachable".*"step":"${step}"`),
      told(boundary, outcome),
    );
  }
});

test("after a restart of the host every VM is found stopped, and starts anew from its disks", async () => {
  for (const mode of ["user", "system"] as const) {
    const actions: Action[] = [
      ...up,
      { kind: "reboot", afterMs: 0 },
      { kind: "startDaemon", afterMs: 5000 },
      { kind: "start", name: 0, afterMs: bootMs },
      { kind: "startDaemon", afterMs: bootMs },
    ];
    const outcome = await new Run({ seed: 1, mode, faults: false, actions }).outcome();
    assert.deepEqual(outcome.problems, [], told(0, outcome));
    assert.deepEqual([outcome.phases["vm-0"], readies(outcome)], ["running", 2], told(0, outcome));
  }
});

test("a start that the host's restart interrupts goes on to its end, whatever it had made", async () => {
  for (const mode of ["user", "system"] as const) {
    for (let afterMs = 0; afterMs < 1000; afterMs += 20) {
      const actions: Action[] = [
        { kind: "create", name: 0, start: true, afterMs: 0 },
        { kind: "reboot", afterMs },
        { kind: "startDaemon", afterMs: 5000 },
        { kind: "startDaemon", afterMs: bootMs },
      ];
      const outcome = await new Run({ seed: 1, mode, faults: false, actions }).outcome();
      assert.deepEqual(outcome.problems, [], told(afterMs, outcome));
      // A guest that boots then has ended: that is what an error is for.
      const booting = outcome.trace.some((line) => line.includes("vm.process_exited"));
      assert.equal(outcome.phases["vm-0"], booting ? "error" : "running", told(afterMs, outcome));
    }
  }
});

test("rules that somebody else took away are back while the guest runs", async () => {
  const actions: Action[] = [...up, { kind: "flushFirewall", afterMs: 0 }];
  const outcome = await new Run({ seed: 1, mode: "system", faults: false, actions }).outcome();
  assert.deepEqual([outcome.problems, readies(outcome)], [[], 1], told(0, outcome));
});
