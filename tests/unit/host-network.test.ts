/** What VMs of system mode share on their host: what the log makes of it, what a look tells and asks for. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { networkView } from "../../src/api/views.js";
import { daemonDetails } from "../../src/cli/render/daemon.js";
import { plainStyle } from "../../src/cli/render/style.js";
import type { DaemonView } from "../../src/contract/daemon.js";
import { sentence, waitingForBridge } from "../../src/core/explain.js";
import { noticeHost } from "../../src/core/notice-host.js";
import { failureFacts, type Plan, planFor, servedBy, waitingFor } from "../../src/core/plan.js";
import { initialState } from "../../src/core/projection.js";
import { hostCan } from "../../src/machines/host.js";
import { absentImage, absentVm } from "../../src/model/absent.js";
import { type EventType, event, hostStream, type NewEvent, vmStream } from "../../src/model/events.js";
import {
  absentNetwork,
  type HostNetwork,
  type SeenNetwork,
  unknownNetwork,
} from "../../src/model/host-network.js";
import type { Effect, ObservedVm, State, Vm } from "../../src/model/model.js";
import { reconcileHost, reconcileVm } from "../../src/reconcilers/index.js";
import {
  bridged,
  capabilities,
  given,
  sample,
  sampleData,
  seenBridged,
  stored,
  t0,
  vmId,
  ways,
} from "../fixtures.js";
import { reached } from "../reached.js";

const present = { is: "present" } as const;
const absent = { is: "absent" } as const;
const unknown = { is: "unknown", cause: "?" } as const;
const { tapPoolSize, namesPort } = sampleData["host.network_wanted"];

const whole: SeenNetwork = {
  bridge: present,
  tapPool: { ...present, size: tapPoolSize },
  resolver: { ...present, port: namesPort },
};

/** The host after events of these types. */
const after = (...types: EventType[]): HostNetwork => given(types.map(sample)).host;
const pending = after("host.network_wanted");
const ready = after("host.network_wanted", "host.network_ready");
const failing = after("host.network_wanted", "host.effect_failed");

describe("the host's machine", () => {
  test("knows each way between its phases, and no other", () => {
    const found: Record<string, string[]> = {};
    for (const host of [initialState.host, pending, ready, failing]) {
      const types = ["wanted", "ready", "lost"].map((what) => `host.network_${what}` as EventType);
      found[host.phase] = [...types, "host.effect_failed" as const].filter((type) =>
        hostCan(host, sample(type)),
      );
    }
    assert.deepEqual(found, {
      unused: ["host.network_wanted"],
      pending: ["host.network_wanted", "host.network_ready", "host.effect_failed"],
      ready: ["host.network_wanted", "host.network_lost", "host.effect_failed"],
      error: ["host.network_wanted", "host.network_ready", "host.effect_failed"],
    });
  });

  test("shows what failed until it is all there, and forgets it with the next daemon", () => {
    assert.deepEqual([failing.phase, failing.error?.effect], ["error", "ensureBridge"]);
    const mended = after("host.network_wanted", "host.effect_failed", "host.network_ready");
    assert.deepEqual([mended.phase, mended.error], ["ready", null]);
    const anew = after("host.network_wanted", "host.effect_failed", "host.network_wanted");
    assert.deepEqual([anew.phase, anew.error], ["pending", null]);
  });

  test("stays ready under a daemon that wants the same, and not under one that wants something else", () => {
    const state = given(
      ["host.network_wanted", "host.network_ready"].map((type) => sample(type as EventType)),
    );
    const later = (fact: NewEvent) => given([fact], t0 + 5000, state).host;
    const same = later(sample("host.network_wanted"));
    assert.deepEqual([same.phase, same.changedAt, same.wantedAt], ["ready", t0, t0 + 5000]);
    for (const change of [{ tapPoolSize: 5 }, { namesPort: null }]) {
      const data = { ...sampleData["host.network_wanted"], ...change };
      assert.equal(later(event(hostStream, "host.network_wanted", data)).phase, "pending");
    }
  });
});

const facts = (host: HostNetwork, seen: SeenNetwork, now = t0) =>
  noticeHost(host, seen, now).map(({ type }) => type);

describe("a look at the host's network", () => {
  test("tells once that all of it is there, and that the bridge is gone", () => {
    for (const host of [pending, failing]) assert.deepEqual(facts(host, whole), ["host.network_ready"]);
    assert.deepEqual(facts(ready, whole), []);
    assert.deepEqual(facts(ready, absentNetwork), ["host.network_lost"]);
    for (const part of ["bridge", "tapPool", "resolver"] as const) {
      assert.deepEqual(facts(pending, { ...whole, [part]: unknown }), [], part);
      assert.deepEqual(facts(ready, { ...whole, [part]: unknown }), [], part);
    }
    assert.deepEqual(facts(pending, { ...whole, tapPool: { ...present, size: 1 } }), []);
    assert.deepEqual(facts(pending, { ...whole, resolver: { ...present, port: 53 } }), []);
    // A tap of the pool that a VM has taken is worth no event.
    assert.deepEqual(facts(ready, { ...whole, tapPool: { ...present, size: 1 } }), []);
  });

  test("wants nothing of a host that has no resolver, nor of one whose names nobody answers", () => {
    assert.deepEqual(facts(pending, { ...whole, resolver: absent }), ["host.network_ready"]);
    const nobody = event(hostStream, "host.network_wanted", { tapPoolSize, namesPort: null });
    const { host } = given([nobody]);
    assert.deepEqual(facts(host, { ...whole, resolver: { ...present, port: 53 } }), ["host.network_ready"]);
    assert.deepEqual(reconcileHost(host, { ...whole, resolver: { ...present, port: null } }), []);
  });

  test("tells of a bridge that goes again and again ever more rarely, however long that goes on", () => {
    let state = given([sample("host.network_wanted"), sample("host.network_ready")]);
    let told = 0;
    const hours = 48;
    for (let now = t0; now < t0 + hours * 3_600_000; now += 1000) {
      for (const seen of [absentNetwork, whole]) {
        const news = noticeHost(state.host, seen, now);
        told += news.length;
        state = given(news, now, state);
      }
    }
    assert.ok(told > 10 && told <= 2 * (hours + 7), `${told} events in ${hours} hours`);
    assert.equal(state.host.phase, "ready");
    const calm = facts(state.host, absentNetwork, t0 + (hours + 3) * 3_600_000);
    assert.deepEqual(calm, ["host.network_lost"], "after a calm time it is news again");
  });
});

const kinds = (effects: readonly Effect[]) => effects.map(({ kind }) => kind);

describe("what is done about it", () => {
  test("the bridge is made first, then pool and routing; what is there is left alone", () => {
    for (const host of [pending, failing, ready]) {
      assert.deepEqual(reconcileHost(host, absentNetwork), [{ kind: "ensureBridge" }]);
      assert.deepEqual(
        reconcileHost(host, {
          ...whole,
          tapPool: { ...present, size: 5 },
          resolver: { ...present, port: 53 },
        }),
        [
          { kind: "ensureTapPool", size: tapPoolSize },
          { kind: "ensureResolver", port: namesPort },
        ],
      );
      assert.deepEqual(reconcileHost(host, whole), []);
    }
    assert.deepEqual(reconcileHost(initialState.host, absentNetwork), [], "nobody asked for it");
  });

  test("where nobody can tell, it tries until it was all there once, and then leaves it alone", () => {
    const blind = unknownNetwork("no helper");
    for (const host of [pending, failing]) {
      assert.deepEqual(kinds(reconcileHost(host, blind)), ["ensureBridge"]);
      const half = { ...whole, tapPool: unknown, resolver: unknown };
      assert.deepEqual(kinds(reconcileHost(host, half)), ["ensureTapPool", "ensureResolver"]);
    }
    for (const part of ["bridge", "tapPool", "resolver"] as const)
      assert.deepEqual(reconcileHost(ready, { ...whole, [part]: unknown }), [], part);
  });

  test("whatever it finds, its effects bring it to rest", (t) => {
    const hit = reached(t, { ensureBridge: 60, ensureTapPool: 60, ensureResolver: 60 });
    const seenAs = <T extends object>(shown: fc.Arbitrary<T>) =>
      fc.oneof(
        fc.constant(absent),
        fc.constant(unknown),
        shown.map((value) => ({ ...present, ...value })),
      );
    const any = fc.record({
      bridge: seenAs(fc.constant({})),
      tapPool: seenAs(fc.record({ size: fc.nat(4) })),
      resolver: seenAs(fc.record({ port: fc.constantFrom(null, 53, namesPort) })),
    });
    const property = fc.property(any, fc.constantFrom(pending, failing, ready), (found, host) => {
      let seen: SeenNetwork = found;
      for (let pass = 0; pass < 3; pass++)
        for (const effect of reconcileHost(host, seen)) {
          hit(effect.kind as "ensureBridge");
          if (effect.kind === "ensureBridge") seen = { ...seen, bridge: present };
          if (effect.kind === "ensureTapPool") seen = { ...seen, tapPool: { ...present, size: effect.size } };
          if (effect.kind === "ensureResolver")
            seen = { ...seen, resolver: { ...present, port: effect.port } };
        }
      assert.deepEqual(reconcileHost(host, seen), []);
    });
    fc.assert(property, { numRuns: 500 });
  });

  test("in user mode there is no such thing", () => {
    const observed = { vms: new Map(), images: new Map(), network: absentNetwork };
    const nothing = { unlistedVm: absentVm, unlistedImage: absentImage };
    const state = given([sample("host.network_wanted")]);
    assert.equal(planFor(state, hostStream, { ...observed, ...nothing }, capabilities, t0, true), undefined);
  });

  test("what fails is told of the host, unless the log is to be spared", () => {
    const failure = { code: "network_in_use", message: "eth1 lies there", retry: "never" } as const;
    const told = (say: boolean) =>
      failureFacts(given([]), { kind: "ensureBridge" }, failure, { final: true, say, untold: 3 });
    assert.deepEqual(told(false), []);
    const [fact] = told(true);
    assert.deepEqual(fact, {
      stream: hostStream,
      type: "host.effect_failed",
      data: { ...failure, effect: "ensureBridge", untold: 3 },
    });
    assert.match(
      sentence(stored(initialState, fact as NewEvent)),
      /failed and will be retried: eth1 lies there .*3 more/,
    );
  });
});

test("daemon status shows it, and nothing of it in user mode or from an older daemon", () => {
  const room = { memoryMiB: { promised: 0, limit: null }, diskMiB: null };
  const rest = {
    pid: 1,
    version: "1",
    startedAt: new Date(t0).toISOString(),
    stateDir: "/s",
    seq: 1,
    vms: {},
  };
  const daemon = {
    ...rest,
    ...{ vmm: "qemu", accelerator: "kvm", notKvm: null, dns: null, searchPath: "", rssBytes: 0 },
  };
  const shown = (host: HostNetwork) =>
    daemonDetails({ ...daemon, room, network: networkView(host) }, t0, plainStyle)
      .split("\n")
      .find((line) => line.startsWith("bridge"));
  assert.equal(shown(initialState.host), undefined);
  assert.match(shown(ready) ?? "", /^bridge +ready since /);
  assert.match(
    shown(failing) ?? "",
    /^bridge +error since .*: ensureBridge failed and will be retried: it broke$/,
  );
  const older = { ...daemon, room } as unknown as DaemonView;
  assert.doesNotMatch(daemonDetails(older, t0, plainStyle), /bridge/);
});
