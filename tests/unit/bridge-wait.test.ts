/** VMs of system mode wait for the bridge of their host, say so, and fail with what is wrong with it. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { waitingForBridge } from "../../src/core/explain.js";
import { type Plan, planFor, servedBy, waitingFor } from "../../src/core/plan.js";
import { absentImage, absentVm } from "../../src/model/absent.js";
import { type EventType, event, hostStream, vmStream } from "../../src/model/events.js";
import { absentNetwork } from "../../src/model/host-network.js";
import type { Effect, ObservedVm, State, Vm } from "../../src/model/model.js";
import { reconcileVm } from "../../src/reconcilers/index.js";
import { bridged, given, sample, sampleData, seenBridged, t0, vmId, ways } from "../fixtures.js";

const present = { is: "present" } as const;
const absent = { is: "absent" } as const;
const unknown = { is: "unknown", cause: "?" } as const;
const { namesPort } = sampleData["host.network_wanted"];
const pending = given([sample("host.network_wanted")]).host;
const kinds = (effects: readonly Effect[]) => effects.map(({ kind }) => kind);

/** The state with the VM at that place of its start, under a host after these events. */
const stateAt = (place: string, ...types: EventType[]): State =>
  given([sample("vm.created"), ...[...types, ...(ways[place] ?? [])].map(sample)]);
const vmOf = (state: State): Vm => state.vms[vmId] as Vm;

const starting: ObservedVm = {
  ...seenBridged,
  ...{ bridge: absent, network: absent, policy: absent, process: absent, agent: absent, listeners: absent },
};

function planOf(state: State, seen: ObservedVm, now = t0): Plan {
  const observed = { vms: new Map([[vmId, seen]]), images: new Map(), network: absentNetwork };
  const nothing = { unlistedVm: absentVm, unlistedImage: absentImage };
  return planFor(state, vmStream(vmId), { ...observed, ...nothing }, bridged, now, true) as Plan;
}

describe("a VM", () => {
  test("waits at its start for the bridge, and tries where nobody can tell", () => {
    for (const place of ["starting.network", "starting.process"]) {
      const state = stateAt(place, "host.network_wanted");
      assert.deepEqual(planOf(state, starting).effects, [], place);
      assert.deepEqual(planOf(state, starting).facts, [], place);
      const made = ["ensureNetwork", "ensurePolicy"];
      assert.deepEqual(kinds(planOf(state, { ...starting, bridge: present }).effects), made);
      assert.deepEqual(kinds(planOf(state, { ...starting, bridge: unknown }).effects), made);
    }
    const card = { ...starting, network: seenBridged.network, policy: seenBridged.policy };
    const told = (bridge: ObservedVm["bridge"]) =>
      planOf(stateAt("starting.network"), { ...card, bridge }).facts.map(({ type }) => type);
    assert.deepEqual([told(present), told(absent), told(unknown)], [["vm.network_attached"], [], []]);
    assert.deepEqual(kinds(planOf(stateAt("starting.process"), { ...card, bridge: present }).effects), [
      "ensureProcess",
    ]);
    assert.deepEqual(planOf(stateAt("starting.process"), card).effects, [], "no VMM without the bridge");
  });

  test("waits for it while it runs, too, and what is to go goes all the same", () => {
    const vm = vmOf(stateAt("running"));
    const lost = { ...seenBridged, bridge: absent, network: { ...present, whole: false }, policy: absent };
    assert.deepEqual(reconcileVm(vm, lost, bridged, t0), []);
    assert.deepEqual(kinds(reconcileVm(vm, { ...lost, bridge: present }, bridged, t0)), [
      "ensureNetwork",
      "ensurePolicy",
    ]);
    const over = { ...lost, process: absent, policy: seenBridged.policy };
    assert.deepEqual(kinds(reconcileVm(vmOf(stateAt("deleting")), over, bridged, t0)).slice(-2), [
      "ensureNoNetwork",
      "ensureNoPolicy",
    ]);
  });

  test("fails with what is wrong with the bridge: at once where that stays so, else when it has waited", () => {
    const failed = (state: State, now: number) => planOf(state, starting, now).facts[0]?.data;
    for (const [place, step] of [
      ["starting.network", "network"],
      ["starting.process", "process"],
    ] as const) {
      const waiting = stateAt(place, "host.network_wanted");
      const { deadlineAt } = planOf(waiting, starting);
      assert.ok(deadlineAt !== null && deadlineAt > t0 + 30_000);
      assert.equal(failed(waiting, deadlineAt - 1), undefined);
      const lost = { step, code: "bridge_missing", message: "the host's bridge does not exist" };
      assert.deepEqual(failed(waiting, deadlineAt), { ...lost, hint: "banger doctor", retry: "later" });
      const why = stateAt(place, "host.network_wanted", "host.effect_failed");
      assert.equal(failed(why, deadlineAt - 1), undefined, "it is tried again");
      const message = "the host's bridge does not exist: it broke";
      assert.deepEqual(failed(why, deadlineAt), {
        ...lost,
        code: "broken",
        message,
        hint: "banger doctor",
        retry: "later",
      });
      const data = { ...sampleData["host.effect_failed"], retry: "never", hint: "mend it" } as const;
      const never = given([event(hostStream, "host.effect_failed", data)], t0, waiting);
      assert.deepEqual(failed(never, t0), {
        ...lost,
        code: "broken",
        message,
        hint: "mend it",
        retry: "later",
      });
      const pool = { ...data, effect: "ensureTapPool" };
      const other = given([event(hostStream, "host.effect_failed", pool)], t0, waiting);
      assert.equal(failed(other, t0), undefined, "a start needs no pool");
    }
  });

  test("gives a new daemon as long again", () => {
    const state = stateAt("starting.network", "host.network_wanted");
    const first = planOf(state, starting).deadlineAt as number;
    const later = given([sample("host.network_wanted")], first + 1000, state);
    assert.deepEqual(planOf(later, starting, first + 2000).facts, []);
    assert.equal(planOf(later, starting, first + 2000).deadlineAt, first - t0 + first + 1000);
  });

  test("says in words what it waits for", () => {
    const state = stateAt("starting.network", "host.network_wanted", "host.effect_failed");
    const vm = vmOf(state);
    assert.deepEqual(waitingForBridge(vm, starting, state.host), [
      "It waits for the host's bridge, which does not exist: ensureBridge failed and will be retried: it broke.",
    ]);
    assert.deepEqual(waitingForBridge(vm, starting, pending), [
      "It waits for the host's bridge, which does not exist.",
    ]);
    assert.deepEqual(waitingForBridge(vm, { ...starting, bridge: present }, state.host), []);
    assert.deepEqual(waitingForBridge(vmOf(stateAt("running")), starting, state.host), []);
  });

  test("is woken by what becomes of the host, and wakes it when it may have taken a tap of the pool", () => {
    const state = stateAt("starting.network", "host.network_wanted");
    assert.deepEqual(waitingFor(state, hostStream), [vmStream(vmId)]);
    assert.deepEqual(waitingFor(stateAt("running"), hostStream), []);
    const tap: Effect = { kind: "ensureNetwork", vmId, address: "172.16.0.2" };
    assert.deepEqual(servedBy(state, tap), [hostStream]);
    const none = event(hostStream, "host.network_wanted", { tapPoolSize: 0, namesPort });
    assert.deepEqual(servedBy(given([none], t0, state), tap), []);
    for (const place of ["starting.network", "running"])
      assert.deepEqual(servedBy(stateAt(place), { kind: "ensureBridge" }), [vmStream(vmId)]);
    assert.deepEqual(servedBy(stateAt("stopped"), { kind: "ensureBridge" }), []);
    assert.deepEqual(servedBy(state, { kind: "ensureAgentLink", vmId }), []);
  });
});
