/** The loop, where the simulation does not look: how often it looks, retries and tells, and how it ends. */
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import { BangerError } from "../../src/lib/errors.js";
import { Ledger } from "../../src/log/ledger.js";
import { Log } from "../../src/log/log.js";
import { Loop } from "../../src/loop/loop.js";
import { event, type NewEvent, vmStream } from "../../src/model/events.js";
import type { ObservedVm } from "../../src/model/model.js";
import { sample, sampleData, seenRunning, seenStopped, vmId, ways } from "../fixtures.js";
import { ManualClock } from "../manual-clock.js";
import { PlayedWorld } from "../played-world.js";

const stream = vmStream(vmId);
/** Of a VM that waits for its VMM. */
const seenAttached: ObservedVm = {
  ...seenStopped,
  network: seenRunning.network,
  policy: seenRunning.policy,
};

describe("loop", () => {
  let clock: ManualClock;
  let world: PlayedWorld;
  let log: Log;
  let ledger: Ledger;
  let loop: Loop;
  let fatal: unknown[];
  let warnings: string[];

  beforeEach(() => {
    clock = new ManualClock();
    world = new PlayedWorld(clock);
    log = Log.open(":memory:", clock);
    fatal = [];
    warnings = [];
    ledger = new Ledger(log, (error) => fatal.push(error));
    const warn = (message: string) => void warnings.push(message);
    loop = new Loop(ledger, world, clock, { concurrency: 4, resyncIntervalMs: 10_000, attempts: 6, warn });
  });
  afterEach(async () => {
    await loop.stop();
    log.close();
  });

  const bring = (position: string) =>
    ledger.commit([sample("vm.created"), ...(ways[position] ?? []).map(sample)], "request:t");
  const types = () => [...log.read({ stream })].map(({ type }) => type);
  const broken = (message: string) => new BangerError("host_failed", message, { retry: "later" });

  test("a sweep over a thousand idle VMs is one look at the host and wakes nobody", async () => {
    const events: NewEvent[] = [];
    for (let n = 0; n < 1000; n++) {
      const id = n.toString(16).padStart(8, "0");
      const data = {
        ...sampleData["vm.created"],
        vmId: id,
        name: id,
        addressIndex: n + 1,
        commandId: `command-${n}`,
      };
      events.push(event(vmStream(id), "vm.created", data));
      for (const type of ways["running"] ?? [])
        events.push(event(vmStream(id), type, sampleData[type] as never));
      events.push(event(vmStream(id), "vm.process_exited", sampleData["vm.process_exited"]));
      world.vms.set(id, seenStopped);
    }
    ledger.commit(events, "request:t");
    await clock.settle();
    world.looks = 0;
    assert.equal(await loop.sweep(), 0);
    await clock.advance(5000);
    assert.deepEqual([world.looks, world.tries.length], [1, 0]);
  });

  test("after a start the whole host is looked at once per interval", async () => {
    await loop.start();
    world.looks = 0;
    await clock.advance(60_000);
    assert.equal(world.looks, 6);
  });

  test("an append that the log refuses is fatal", async () => {
    world.vms.set(vmId, seenRunning);
    bring("stopped");
    await clock.settle();
    log.close();
    assert.throws(() => ledger.commit([sample("vm.start_requested")], "request:t"));
    assert.equal(fatal.length, 1);
    assert.equal(ledger.state.vms[vmId]?.phase, "stopped");
  });

  test("an effect that hangs is aborted at its deadline and tried again", async () => {
    world.act = () => new Promise(() => {});
    bring("starting.disk");
    await clock.advance(120_000);
    const [first] = world.tries;
    assert.equal(first?.effect.kind, "ensureDisk");
    assert.equal((first?.signal.reason as BangerError).code, "deadline_exceeded");
    assert.equal(types().at(-1), "vm.effect_failed");
    await clock.advance(1000);
    assert.equal(world.tries.length, 2);
  });

  test("a retry waits longer each time, up to half a minute, and the start fails after the last try", async () => {
    world.act = async () => {
      throw broken("no");
    };
    bring("starting.disk");
    await clock.advance(120_000);
    const waits = world.tries.map(({ at }, n) => at - (world.tries[n - 1]?.at ?? at)).slice(1);
    assert.deepEqual(waits, [300, 600, 1200, 2400, 4800]);
    assert.equal(types().at(-1), "vm.step_failed");
    assert.equal(types().filter((type) => type === "vm.effect_failed").length, 1);
  });

  test("a last try that has success is no failure, and what went before it in the step took none of its tries", async () => {
    const tried: string[] = [];
    world.act = async ({ kind }) => {
      tried.push(kind);
      if (tried.filter((each) => each === kind).length < 6) throw broken("not yet");
      if (kind === "ensureDisk") {
        world.vms.set(vmId, { ...seenAttached, runtime: { is: "present", whole: true } });
      }
      if (kind === "ensureProcess") world.vms.set(vmId, seenRunning);
    };
    world.vms.set(vmId, { ...seenAttached, runtime: { is: "present", whole: true } });
    bring("starting.process");
    await clock.advance(0);
    // Lost by the host, after the step has begun.
    world.vms.set(vmId, seenAttached);
    await clock.advance(10 * 60_000);
    assert.deepEqual(new Set(tried), new Set(["ensureProcess", "ensureDisk"]));
    assert.equal(ledger.state.vms[vmId]?.phase, "running");
    assert.ok(!types().includes("vm.step_failed"));
  });

  test("a plan is given up at the first effect after its VM has gone elsewhere", async () => {
    const tried: string[] = [];
    world.act = async ({ kind }) => {
      tried.push(kind);
      if (tried.length === 1) ledger.commit([sample("vm.kill_requested")], "request:t");
    };
    const server = {
      proto: "tcp",
      address: "0.0.0.0",
      pid: 1,
      process: "server",
      command: "server",
    } as const;
    const list = [22, 80].map((port) => ({ ...server, port }));
    world.vms.set(vmId, {
      ...seenRunning,
      forwards: { is: "present", list: [] },
      listeners: { is: "present", list },
    });
    bring("running");
    await clock.advance(0);
    assert.deepEqual(tried.slice(0, 2), ["ensureForward", "ensureNoProcess"]);
  });

  test("each step of a start has all its tries", async () => {
    const tried: string[] = [];
    world.act = async ({ kind }) => {
      tried.push(kind);
      if (tried.filter((each) => each === kind).length <= 4) throw broken("not yet");
      const { network, policy, runtime } = seenRunning;
      const seen = world.vms.get(vmId) ?? seenStopped;
      if (kind === "ensureDisk") world.vms.set(vmId, { ...seen, runtime });
      if (kind === "ensureNetwork") world.vms.set(vmId, { ...seen, network });
      if (kind === "ensurePolicy") world.vms.set(vmId, { ...seen, policy });
      if (kind === "ensureProcess") world.vms.set(vmId, seenRunning);
    };
    bring("starting.disk");
    await clock.advance(60_000);
    assert.deepEqual(types().slice(-2), ["vm.ready", "vm.booted"]);
  });

  test("what must succeed some day is tried for ever, told once, and ever more rarely", async () => {
    world.vms.set(vmId, seenRunning);
    world.act = async ({ kind }) => {
      if (kind === "ensureNoProcess") throw broken("it stays");
    };
    bring("running");
    await clock.settle();
    ledger.commit([sample("vm.kill_requested")], "request:t");
    await clock.advance(10 * 60_000);
    const ends = world.tries.filter(({ effect }) => effect.kind === "ensureNoProcess");
    assert.ok(ends.length > 20 && ends.length < 50, `${ends.length} tries in ten minutes`);
    const last = ends.slice(-2).map(({ at }) => at) as [number, number];
    assert.ok(last[1] - last[0] >= 15_000 && last[1] - last[0] <= 30_000);
    assert.equal(types().filter((type) => type === "vm.effect_failed").length, 1);
  });

  test("a failure that passes and comes back is no news, and is not tried at each look meanwhile", async () => {
    const failing: ObservedVm = { ...seenRunning, forwards: { is: "present", list: [] } };
    world.act = async () => {
      throw broken("no port can be forwarded");
    };
    bring("running");
    for (let turn = 0; turn < 200; turn++) {
      world.vms.set(vmId, turn % 2 === 0 ? failing : seenRunning);
      loop.wake(stream);
      loop.wake(stream);
      await clock.advance(100);
    }
    assert.equal(types().filter((type) => type === "vm.effect_failed").length, 1);
    world.vms.set(vmId, failing);
    world.tries.length = 0;
    for (let turn = 0; turn < 200; turn++) {
      loop.wake(stream);
      await clock.advance(100);
    }
    assert.ok(world.tries.length < 10, `${world.tries.length} tries in 20 s`);
  });

  test("a failure that reads differently each time is told ever more rarely, and waits all the same", async () => {
    let count = 0;
    world.vms.set(vmId, seenRunning);
    world.act = async () => {
      throw broken(`failure ${++count}`);
    };
    bring("deleting");
    await clock.advance(10 * 60_000);
    assert.ok(world.tries.length < 50, `${world.tries.length} tries in ten minutes`);
    const told = [...log.read({ stream, types: ["vm.effect_failed"] })].map(({ data }) => data);
    assert.ok(told.length <= 4, `${told.length} told`);
    assert.ok((told.at(-1) as { untold?: number }).untold, "what was not told is counted");
  });

  test("two effects that go on failing are each told once", async () => {
    world.vms.set(vmId, { ...seenRunning, agent: { is: "absent" }, forwards: { is: "present", list: [] } });
    world.act = async ({ kind }) => {
      throw broken(`${kind} does not work`);
    };
    bring("running");
    await clock.advance(10 * 60_000);
    assert.equal(types().filter((type) => type === "vm.effect_failed").length, 2);
  });

  test("effects that succeed and show nothing are told and slowed down", async () => {
    world.vms.set(vmId, seenRunning);
    bring("deleting");
    await clock.advance(10 * 60_000);
    assert.ok(world.tries.length < 50, `${world.tries.length} tries in ten minutes`);
    const failures = [...log.read({ stream, types: ["vm.effect_failed"] })];
    assert.deepEqual(
      failures.map(({ data }) => (data as { code: string }).code),
      ["effect_without_effect"],
    );
  });

  test("a stop whose deadline has passed does not spin while nothing can be seen", async () => {
    const unknown = { is: "unknown", cause: "simulated" } as const;
    world.vms.set(vmId, { ...seenRunning, process: unknown });
    bring("stopping");
    await loop.start();
    await clock.advance(60_000);
    world.looks = 0;
    await clock.advance(60_000);
    assert.equal(world.looks, 6);
  });

  test("a stop that the guest does not heed becomes an end at its deadline, to the millisecond", async () => {
    world.vms.set(vmId, seenRunning);
    bring("stopping");
    const begun = clock.now();
    await clock.advance(30_000);
    const end = world.tries.find(({ effect }) => effect.kind === "ensureNoProcess");
    assert.equal(end && end.at - begun, 20_000);
    assert.deepEqual(types().filter((type) => type === "vm.shutdown_asked").length, 1);
  });

  test("a VMM that runs already is adopted once", async () => {
    world.vms.set(vmId, seenRunning);
    bring("running");
    await clock.advance(60_000);
    assert.deepEqual(types().filter((type) => type === "vm.adopted").length, 1);
  });

  test("stop aborts what is under way, waits for it and does nothing more", async () => {
    world.act = (_effect, { signal }) =>
      new Promise((_resolve, reject) =>
        signal.addEventListener("abort", () => reject(signal.reason as Error)),
      );
    bring("starting.disk");
    await clock.settle();
    assert.equal(world.tries.length, 1);
    await loop.stop();
    assert.equal((world.tries[0]?.signal.reason as BangerError).code, "daemon_stopping");
    loop.wake(stream);
    await clock.advance(60_000);
    assert.equal(world.tries.length, 1);
    assert.equal(types().at(-1), "vm.start_requested");
  });
});
