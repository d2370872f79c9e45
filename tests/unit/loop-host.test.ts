/** The loop over what VMs share on their host: who waits for it goes on with it, and what fails is told once. */
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import { BangerError } from "../../src/lib/errors.js";
import { Ledger } from "../../src/log/ledger.js";
import { Log } from "../../src/log/log.js";
import { Loop } from "../../src/loop/loop.js";
import { hostStream, vmStream } from "../../src/model/events.js";
import type { SeenNetwork } from "../../src/model/host-network.js";
import type { Effect, ObservedVm } from "../../src/model/model.js";
import { bridged, sample, sampleData, seenBridged, vmId, ways } from "../fixtures.js";
import { ManualClock } from "../manual-clock.js";
import { PlayedWorld } from "../played-world.js";

const stream = vmStream(vmId);

describe("the loop in system mode", () => {
  let clock: ManualClock;
  let world: PlayedWorld;
  let log: Log;
  let ledger: Ledger;
  let loop: Loop;
  let warnings: string[];

  const present = { is: "present" } as const;
  const absent = { is: "absent" } as const;
  const { tapPoolSize } = sampleData["host.network_wanted"];
  const startingVm: ObservedVm = {
    ...seenBridged,
    ...{ network: absent, policy: absent, process: absent, agent: absent, listeners: absent },
  };
  const hostTypes = () => [...log.read({ stream: hostStream })].map(({ type }) => type);
  /** What a look shows from now on. */
  const show = (bridge: SeenNetwork["bridge"], pool: number, vm: Partial<ObservedVm> = {}) => {
    world.network = { bridge, tapPool: { ...present, size: pool }, resolver: absent };
    world.vms.set(vmId, { ...startingVm, bridge, ...vm });
  };
  const tried = (kind: Effect["kind"]) => world.tries.filter(({ effect }) => effect.kind === kind);

  const bring = (position: string) =>
    ledger.commit([sample("vm.created"), ...(ways[position] ?? []).map(sample)], "request:t");
  const types = () => [...log.read({ stream })].map(({ type }) => type);
  const broken = (message: string) => new BangerError("host_failed", message, { retry: "later" });

  beforeEach(() => {
    clock = new ManualClock();
    world = new PlayedWorld(clock);
    world.capabilities = bridged;
    show(absent, 0);
    log = Log.open(":memory:", clock);
    warnings = [];
    ledger = new Ledger(log, () => {});
    const warn = (message: string) => void warnings.push(message);
    loop = new Loop(ledger, world, clock, { concurrency: 4, resyncIntervalMs: 10_000, attempts: 6, warn });
  });
  afterEach(async () => {
    await loop.stop();
    log.close();
  });

  test("a VM that waits for the bridge goes on as soon as it is made, and the pool is filled again", async () => {
    const { network } = seenBridged;
    let pool = 0;
    world.act = async ({ kind }) => {
      if (kind === "ensureBridge") show(present, pool);
      if (kind === "ensureTapPool") pool = tapPoolSize;
      if (kind === "ensureNetwork") pool -= 1;
      const { bridge } = world.network;
      show(bridge, pool, tried("ensureNetwork").length > 0 ? { network } : {});
    };
    bring("starting.network");
    await clock.advance(100);
    assert.equal(world.tries.length, 0, "nobody has asked for a bridge");
    ledger.commit([sample("host.network_wanted")], "host:start");
    await clock.advance(0);
    assert.deepEqual(
      ["ensureBridge", "ensureNetwork"].map((kind) => tried(kind as Effect["kind"])[0]?.at),
      [clock.now(), clock.now()],
    );
    await clock.advance(1000);
    assert.deepEqual(hostTypes(), ["host.network_wanted", "host.network_ready"]);
    assert.equal(pool, tapPoolSize, "what the VM took of it is there again, before the next whole look");
    await loop.stop();
  });

  test("a bridge that cannot be made is told once, tried for ever, and fails the start that waits for it", async () => {
    world.act = async ({ kind }) => {
      if (kind === "ensureBridge") throw broken("eth1 lies there");
    };
    ledger.commit([sample("host.network_wanted")], "host:start");
    bring("starting.network");
    await clock.advance(10 * 60_000);
    assert.deepEqual(hostTypes(), ["host.network_wanted", "host.effect_failed"]);
    const count = tried("ensureBridge").length;
    assert.ok(count > 20 && count < 50, `${count} tries in ten minutes`);
    assert.deepEqual([tried("ensureNetwork").length, types().includes("vm.step_failed")], [0, true]);
    const failed = ledger.state.vms[vmId];
    assert.ok((failed?.changedAt ?? 0) - (failed?.createdAt ?? 0) <= 60_000, "within a minute");
    assert.equal(warnings.filter((message) => message.startsWith("ensureBridge")).length, 1);
  });

  test("a failure that stays so ends the start at once", async () => {
    world.act = async () => {
      throw new BangerError("network_in_use", "eth1 lies there");
    };
    bring("starting.network");
    ledger.commit([sample("host.network_wanted")], "host:start");
    await clock.advance(1000);
    assert.equal(ledger.state.vms[vmId]?.error?.code, "network_in_use");
  });
});
