/** What VMs share on their host, whoever dies while it is made and whoever takes it away. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Outcome } from "./outcome.js";
import { Run } from "./run.js";
import type { Action } from "./scenario.js";
import { bootMs, deaths, readies, told, up } from "./scenes.js";

const hostEvents = ({ trace }: Outcome): string[] =>
  trace.flatMap((line) => / event \d+ host (\S+)/.exec(line)?.[1] ?? []);

test("daemon or helper dies at each boundary of the bridge's making: it is made all the same, and told once", async () => {
  for (const kind of ["killDaemonAt", "killHelperAt"] as const) {
    let boundary = 0;
    for (let died = true; died; ) {
      boundary += 1;
      const actions: Action[] = [
        { kind: "reboot", afterMs: 0 },
        kind === "killDaemonAt"
          ? { kind, boundary, afterMs: 0 }
          : { kind, boundary, backMs: 1000, afterMs: 0 },
        { kind: "startDaemon", afterMs: 10 },
        { kind: "startDaemon", afterMs: bootMs },
      ];
      const outcome = await new Run({ seed: 1, mode: "system", faults: false, actions }).outcome();
      died = deaths(outcome) > 0;
      assert.deepEqual(outcome.problems, [], told(boundary, outcome));
      const events = hostEvents(outcome);
      // With the first image the first daemon came, and made it before the host started again.
      const news = ["host.network_ready", "host.network_lost"].map((type) =>
        events.filter((each) => each === type),
      );
      assert.deepEqual(
        news.map(({ length }) => length),
        [2, 1],
        told(boundary, outcome),
      );
    }
    assert.ok(boundary > 6, `only ${boundary} boundaries`);
  }
});

test("a start fails with what is wrong with the bridge, and the bridge is made as soon as that can be done", async () => {
  for (const [retry, withinMs] of [
    ["never", 5_000],
    ["later", 60_000],
  ] as const) {
    const actions: Action[] = [
      { kind: "refuseBridge", retry, afterMs: 60_000 },
      { kind: "startDaemon", afterMs: 60_000 },
      { kind: "create", name: 0, start: true, afterMs: 0 },
      { kind: "startDaemon", afterMs: withinMs },
    ];
    const outcome = await new Run({ seed: 1, mode: "system", faults: false, actions }).outcome();
    assert.deepEqual([outcome.problems, outcome.phases["vm-0"]], [[], "error"], told(0, outcome));
    const failed = outcome.trace.find((line) => line.includes("vm.step_failed")) ?? "";
    assert.match(failed, /"step":"network","code":"network_in_use".*eth1 lies in/, told(0, outcome));
    const events = hostEvents(outcome).filter((type) => type !== "host.network_wanted");
    const expected = ["ready", "lost", "failed", "ready"].map((what) =>
      what === "failed" ? "host.effect_failed" : `host.network_${what}`,
    );
    assert.deepEqual(events, expected, told(0, outcome));
  }
});

test("a bridge that somebody deletes is back under the guest that runs, with pool and routing", async () => {
  for (const kind of ["deleteBridge", "flushFirewall", "forgetNames"] as const) {
    const actions: Action[] = [...up, { kind, afterMs: 0 }];
    const outcome = await new Run({ seed: 1, mode: "system", faults: false, actions }).outcome();
    assert.deepEqual([outcome.problems, readies(outcome)], [[], 1], told(0, outcome));
  }
});
