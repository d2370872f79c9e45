/** Reconcilers: for any VM and anything seen, nothing is destroyed without evidence. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { noticeVm } from "../../src/core/notice.js";
import { initialState } from "../../src/core/projection.js";
import { vmAfter } from "../../src/machines/vm.js";
import { unknownVm } from "../../src/model/absent.js";
import type { EffectKind, ObservedVm, PauseCause, Seen, Vm } from "../../src/model/model.js";
import { nextDeadline, reconcileVm } from "../../src/reconcilers/index.js";
import { isOver, nothingHeld } from "../../src/reconcilers/wanted.js";
import {
  bridged,
  capabilities,
  identity,
  reachableVms,
  seenRunning,
  stored,
  t0,
  vmAfterTypes,
  ways,
} from "../fixtures.js";
import { caseOf, lackingToRun, unknown } from "../observations.js";
import { reached } from "../reached.js";

/** What each effect needs to have seen, and as what, before it may run; without any of it, it must not. */
const evidence: Readonly<
  Partial<Record<EffectKind, Partial<Record<keyof ObservedVm, Seen["is"] | "known">>>>
> = {
  ensureDisk: { process: "absent" },
  ensureRootDevice: { process: "absent", rootDisk: "present" },
  ensureNoRootDevice: { process: "absent", rootDevice: "present" },
  ensureNetwork: { process: "known" },
  ensureNoNetwork: { process: "absent", network: "present" },
  ensurePolicy: { process: "known" },
  ensureNoPolicy: { process: "known", policy: "present" },
  ensureProcess: { process: "absent", rootDisk: "present", workDisk: "present", runtime: "present" },
  ensureDiskSize: { process: "present", agent: "present", workDisk: "present", rootDisk: "present" },
  ensureAgentLink: { process: "present", agent: "absent" },
  ensureRunning: { process: "present" },
  ensureClock: { process: "present", agent: "present" },
  ensureForward: { forwards: "present" },
  ensureNoForward: { forwards: "present", listeners: "present" },
  ensureShutdownAsked: { process: "present" },
  ensureNoProcess: { process: "present" },
  ensureNoRuntime: {
    process: "absent",
    network: "absent",
    policy: "absent",
    rootDevice: "absent",
    runtime: "present",
  },
  ensureNoDirectory: {
    process: "absent",
    network: "absent",
    policy: "absent",
    rootDevice: "absent",
    runtime: "absent",
    directory: "present",
  },
};

type Evidence = readonly [handle: keyof ObservedVm, is: Seen["is"] | "known"];

describe("no evidence, no effect", () => {
  test("each effect rests on what was seen, and an unknown handle takes it away", (t) => {
    const each: Record<string, number> = Object.fromEntries(Object.keys(evidence).map((kind) => [kind, 4]));
    const hit = reached<string>(t, { ...each, ensureProcess: 40, ensureNoDirectory: 60 });
    fc.assert(
      fc.property(caseOf(), ({ mode, vm, seen, now }) => {
        for (const { kind } of reconcileVm(vm, seen, mode, now)) {
          const needs = Object.entries(evidence[kind] ?? {}) as unknown as Evidence[];
          assert.ok(needs.length > 0, kind);
          hit(kind);
          for (const [handle, is] of needs) {
            if (is !== "known") assert.equal((seen[handle] as Seen).is, is, `${kind} with ${handle}`);
            const hidden = reconcileVm(vm, { ...seen, [handle]: unknown }, mode, now);
            assert.ok(!hidden.some((effect) => effect.kind === kind), `${kind} without ${handle}`);
          }
        }
      }),
      { numRuns: 5000 },
    );
  });

  test("a VMM runs only on disks that fit, and in system mode on a whole root device behind a whole tap", (t) => {
    const hit = reached(t, { user: 20, system: 20, lacking: 20 });
    fc.assert(
      fc.property(caseOf(), ({ mode, vm, seen, now }) => {
        const lacks = lackingToRun(vm, seen, mode);
        const runs = reconcileVm(vm, seen, mode, now).some(({ kind }) => kind === "ensureProcess");
        if (runs) assert.deepEqual(lacks, []);
        if (runs) hit(mode === bridged ? "system" : "user");
        if (vm.step === "process" && lacks.length === 1) hit("lacking");
      }),
      { numRuns: 5000 },
    );
  });

  test("when a whole look failed nothing is done, and nothing told of the host", () => {
    for (const { vm } of reachableVms().values()) {
      const blind = unknownVm("simulated");
      for (const mode of [capabilities, bridged]) {
        assert.deepEqual(reconcileVm(vm, blind, mode, t0), []);
        const facts = noticeVm(vm, blind, mode, t0).map(({ type }) => type);
        assert.deepEqual(facts, []);
      }
    }
  });

  test("an end names the process that was seen, a forward one that is there", (t) => {
    const hit = reached(t, { ensureNoProcess: 100, ensureForward: 4, ensureNoForward: 4 });
    fc.assert(
      fc.property(caseOf(), ({ mode, vm, seen, now }) => {
        for (const effect of reconcileVm(vm, seen, mode, now)) {
          if (effect.kind === "ensureNoProcess") {
            assert.deepEqual(effect.process, identity);
            hit(effect.kind);
          }
          if (effect.kind !== "ensureNoForward" && effect.kind !== "ensureForward") continue;
          const there = seen.forwards.is === "present" && seen.forwards.list.map((each) => each.guestPort);
          assert.equal(there && there.includes(effect.guestPort), effect.kind === "ensureNoForward");
          hit(effect.kind);
        }
      }),
      { numRuns: 3000 },
    );
  });

  test("disks with data go only with their VM", (t) => {
    const hit = reached(t, { removed: 40, kept: 12 });
    fc.assert(
      fc.property(caseOf(), ({ mode, vm, seen, now }) => {
        const removed = reconcileVm(vm, seen, mode, now).some(({ kind }) => kind === "ensureNoDirectory");
        const mayGo = vm.phase === "deleting" || vm.phase === "deleted" || !vm.disksHoldData;
        assert.ok(!removed || mayGo);
        if (removed) hit("removed");
        // Nothing but the data stands in the way.
        const free = nothingHeld(seen) && seen.runtime.is === "absent" && seen.directory.is === "present";
        if (isOver(vm) && free && !mayGo) hit("kept");
      }),
      { numRuns: 3000 },
    );
  });
});

describe("a guest that stands still", () => {
  const paused = (cause: PauseCause, freeMiB = 0, times = 1) => {
    const data = { cause };
    const seen = cause === "host_disk_full" ? { cause, freeMiB } : { cause };
    let vm = vmAfterTypes(...(ways["running"] ?? []));
    for (let time = 0; time < times; time++)
      vm = vmAfter(vm, stored(initialState, { stream: "vm/1", type: "vm.paused", data }));
    const process = { is: "present", ...identity, pause: seen } as const;
    const kinds = (now: number) =>
      reconcileVm(vm, { ...seenRunning, process }, capabilities, now).map(({ kind }) => kind);
    return { vm, kinds };
  };

  test("is resumed when somebody stopped it or the disk has room again, and left alone otherwise", () => {
    const resumed = (cause: PauseCause, freeMiB?: number) => paused(cause, freeMiB).kinds(t0);
    assert.deepEqual(resumed("stopped"), ["ensureRunning"]);
    assert.deepEqual(resumed("host_disk_full", 32), ["ensureRunning"]);
    assert.deepEqual(resumed("host_disk_full", 31), []);
    for (const cause of ["debugged", "frozen", "vmm_error"] as const) assert.deepEqual(resumed(cause), []);
  });

  test("is resumed ever more rarely when it is stopped again and again, and looked at when it may be", () => {
    const { vm, kinds } = paused("stopped", 0, 4);
    assert.deepEqual(kinds(t0 + 7_999), []);
    assert.equal(nextDeadline(vm, t0), t0 + 8_000);
    assert.deepEqual(kinds(t0 + 8_000), ["ensureRunning"]);
  });

  test("has its clock set once it runs, and not again at once when that does not help", () => {
    const late = { is: "present", answering: true, version: "1", init: "up", behindMs: 30_000 } as const;
    const running = paused("stopped");
    const kinds = (vm: Vm, now: number) =>
      reconcileVm(vm, { ...seenRunning, agent: late }, capabilities, now).map(({ kind }) => kind);
    assert.deepEqual(kinds(running.vm, t0), ["ensureClock"]);
    const still = {
      ...seenRunning,
      process: { is: "present", ...identity, pause: { cause: "frozen" } },
      agent: late,
    } as const;
    assert.deepEqual(reconcileVm(running.vm, still, capabilities, t0), []);
    const fact = { stream: "vm/1", type: "vm.clock_set", data: { behindMs: 30_000 } } as const;
    const vm = vmAfter(running.vm, stored(initialState, fact));
    assert.deepEqual([kinds(vm, t0 + 29_999), kinds(vm, t0 + 30_000)], [[], ["ensureClock"]]);
  });
});

describe("deadlines", () => {
  test("when one comes, the plan changes; when it has passed, there is none", () => {
    const agent = { is: "present", answering: false, version: "" } as const;
    const stopped = { is: "present", ...identity, pause: { cause: "frozen" } } as const;
    let count = 0;
    for (const { vm } of reachableVms().values()) {
      const at = nextDeadline(vm, t0);
      if (at === null) continue;
      count += 1;
      const process = vm.paused === null ? seenRunning.process : stopped;
      const network = vm.networkLostAt === null ? seenRunning.network : ({ is: "absent" } as const);
      const silent = { ...seenRunning, process, agent, network };
      const plan = (now: number) => [
        ...noticeVm(vm, silent, capabilities, now),
        ...reconcileVm(vm, silent, capabilities, now),
      ];
      assert.notDeepEqual(plan(at), plan(at - 1));
      assert.equal(nextDeadline(vm, at), null);
    }
    assert.ok(count > 5, `${count} VMs have a deadline`);
  });
});
