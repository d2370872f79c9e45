/** Reconcilers: for any VM and anything seen, nothing is destroyed without evidence. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { noticeImage, noticeVm } from "../../src/core/notice.js";
import { initialState } from "../../src/core/projection.js";
import { imageAfter, imageCan } from "../../src/machines/image.js";
import { vmCan } from "../../src/machines/vm.js";
import { unknownVm } from "../../src/model/absent.js";
import type { NewEvent } from "../../src/model/events.js";
import { needOf } from "../../src/model/fits.js";
import type { EffectKind, ObservedImage, ObservedVm, Seen } from "../../src/model/model.js";
import { nextDeadline, reconcileImage, reconcileVm } from "../../src/reconcilers/index.js";
import {
  bridged,
  capabilities,
  identity,
  imageAfterTypes,
  imageId,
  reachableVms,
  seenRunning,
  stored,
  t0,
} from "../fixtures.js";

const unknown = { is: "unknown", cause: "simulated" } as const;
const absent = { is: "absent" } as const;

const anyVm = fc.constantFrom(...[...reachableVms().values()].map(({ vm }) => vm));
const seenAs = <T extends object>(there: fc.Arbitrary<T>): fc.Arbitrary<Seen<T>> =>
  fc.oneof(
    there.map((value) => ({ is: "present", ...value }) as Seen<T>),
    fc.constant(absent),
    fc.constant(unknown),
  );
const port = fc.constantFrom(22, 80, 3000);
const listener = fc.record({
  proto: fc.constantFrom("tcp", "udp"),
  address: fc.constantFrom("0.0.0.0", "::", "127.0.0.1"),
  port,
  pid: fc.constant(1),
  process: fc.constant("server"),
  command: fc.constant("server"),
});
const forwards = fc.uniqueArray(port).map((ports) => ({
  list: ports.map((guestPort) => ({ guestPort, hostPort: guestPort })),
}));
const bare = seenAs(fc.constant({}));
const part = seenAs(fc.record({ whole: fc.boolean() }));
const disk = seenAs(
  fc.record({ miB: fc.constantFrom(512, 1024, 2048), growing: fc.constantFrom("no", "begun", "at_start") }),
);
const anySeen: fc.Arbitrary<ObservedVm> = fc.record({
  directory: bare,
  rootDisk: disk,
  workDisk: disk,
  seed: bare,
  rootDevice: part,
  tap: part,
  nat: bare,
  runtime: part,
  process: seenAs(fc.constant(identity)),
  agent: seenAs(fc.record({ answering: fc.boolean(), version: fc.constant("1.0") })),
  forwards: seenAs(forwards),
  listeners: seenAs(fc.record({ list: fc.array(listener, { maxLength: 4 }) })) as fc.Arbitrary<
    ObservedVm["listeners"]
  >,
});
const anyMode = fc.constantFrom(capabilities, bridged);
/** Before, at and after every deadline that a VM of `t0` can have. */
const anyTime = fc.constantFrom(t0, t0 + 19_999, t0 + 20_000, t0 + 59_999, t0 + 60_000, t0 + 90_000);

/** What each effect needs to have seen, and as what, before it may run; without any of it, it must not. */
const evidence: Readonly<
  Partial<Record<EffectKind, Partial<Record<keyof ObservedVm, Seen["is"] | "known">>>>
> = {
  ensureDisk: { process: "absent" },
  ensureRootDevice: { process: "absent", rootDisk: "present" },
  ensureNoRootDevice: { process: "absent", rootDevice: "present" },
  ensureTap: { process: "known" },
  ensureNoTap: { process: "absent", tap: "present" },
  ensureNat: { process: "known" },
  ensureNoNat: { process: "known", nat: "present" },
  ensureProcess: { process: "absent", rootDisk: "present", workDisk: "present", runtime: "present" },
  ensureDiskSize: { process: "present", agent: "present", workDisk: "present", rootDisk: "present" },
  ensureAgentLink: { process: "present", agent: "absent" },
  ensureForward: { forwards: "present" },
  ensureNoForward: { forwards: "present", listeners: "present" },
  ensureShutdownAsked: { process: "present" },
  ensureNoProcess: { process: "present" },
  ensureNoRuntime: {
    process: "absent",
    tap: "absent",
    nat: "absent",
    rootDevice: "absent",
    runtime: "present",
  },
  ensureNoDirectory: {
    process: "absent",
    tap: "absent",
    nat: "absent",
    rootDevice: "absent",
    runtime: "absent",
    directory: "present",
  },
};

describe("no evidence, no effect", () => {
  test("each effect rests on what was seen, and an unknown handle takes it away", () => {
    fc.assert(
      fc.property(anyMode, anyVm, anySeen, anyTime, (mode, vm, seen, now) => {
        for (const { kind } of reconcileVm(vm, seen, mode, now)) {
          const needs = Object.entries(evidence[kind] ?? {}) as [keyof ObservedVm, Seen["is"] | "known"][];
          assert.ok(needs.length > 0, kind);
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

  test("in system mode a VMM runs only on a whole root device, behind a whole tap, with the way out as wanted", () => {
    fc.assert(
      fc.property(anyVm, anySeen, anyTime, (vm, seen, now) => {
        const runs = reconcileVm(vm, seen, bridged, now).some(({ kind }) => kind === "ensureProcess");
        if (!runs) return;
        assert.deepEqual(
          [seen.rootDevice, seen.tap].map((each) => each.is === "present" && each.whole),
          [true, true],
        );
        assert.equal(seen.nat.is, vm.spec.nat ? "present" : "absent");
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
        const untold = facts.filter((type) => mode === bridged || type !== "vm.network_attached");
        assert.deepEqual(untold, []);
      }
    }
  });

  test("an end names the process that was seen, a forward one that is there", () => {
    fc.assert(
      fc.property(anyMode, anyVm, anySeen, anyTime, (mode, vm, seen, now) => {
        for (const effect of reconcileVm(vm, seen, mode, now)) {
          if (effect.kind === "ensureNoProcess") assert.deepEqual(effect.process, identity);
          if (effect.kind !== "ensureNoForward" && effect.kind !== "ensureForward") continue;
          const there = seen.forwards.is === "present" && seen.forwards.list.map((each) => each.guestPort);
          assert.equal(there && there.includes(effect.guestPort), effect.kind === "ensureNoForward");
        }
      }),
    );
  });

  test("disks with data go only with their VM", () => {
    fc.assert(
      fc.property(anyMode, anyVm, anySeen, anyTime, (mode, vm, seen, now) => {
        const removed = reconcileVm(vm, seen, mode, now).some(({ kind }) => kind === "ensureNoDirectory");
        const mayGo = vm.phase === "deleting" || vm.phase === "deleted" || !vm.disksHoldData;
        assert.ok(!removed || mayGo);
      }),
    );
  });

  test("every fact that is noticed is legal, so that noticing comes to an end", () => {
    fc.assert(
      fc.property(anyMode, anyVm, anySeen, anyTime, (mode, vm, seen, now) => {
        for (const fact of noticeVm(vm, seen, mode, now)) assert.ok(vmCan(vm, fact), fact.type);
      }),
      { numRuns: 1000 },
    );
  });
});

describe("deadlines", () => {
  test("when one comes, the plan changes; when it has passed, there is none", () => {
    const agent = { is: "present", answering: false, version: "" } as const;
    const stopped = { is: "present", ...identity, pause: { cause: "stopped" } } as const;
    let count = 0;
    for (const { vm } of reachableVms().values()) {
      const at = nextDeadline(vm, t0);
      if (at === null) continue;
      count += 1;
      const process = vm.paused === null ? seenRunning.process : stopped;
      const silent = { ...seenRunning, process, agent };
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

describe("images", () => {
  const anySeenImage: fc.Arbitrary<ObservedImage> = fc.record({
    image: seenAs(fc.record({ sizeBytes: fc.constant(1000), damage: fc.constantFrom(null, "torn") })),
    partial: seenAs(fc.record({ building: fc.boolean() })),
  });
  const damage = { code: "image_damaged", message: "torn", retry: "never" } as const;
  const anyImage = fc.constantFrom(
    imageAfterTypes(),
    imageAfterTypes("image.ready"),
    imageAfterTypes("image.build_failed"),
    { ...imageAfterTypes("image.ready", "image.damaged"), error: damage },
    { ...imageAfterTypes("image.ready", "image.damaged", "image.delete_requested"), error: damage },
    imageAfterTypes("image.delete_requested"),
    imageAfterTypes("image.delete_requested", "image.deleted"),
  );

  test("an image goes only when it is being deleted or is torn, and every effect rests on what was seen", () => {
    fc.assert(
      fc.property(anyImage, anySeenImage, (image, seen) => {
        for (const { kind } of reconcileImage(image, seen)) {
          const torn = seen.image.is === "present" && seen.image.damage !== null;
          if (kind === "ensureNoImage")
            assert.deepEqual([image.phase, seen.image.is], [torn ? image.phase : "deleting", "present"]);
          else if (kind === "ensureImage")
            assert.deepEqual([image.phase, seen.image.is], ["building", "absent"]);
          else assert.deepEqual([kind, seen.partial.is], ["ensureNoPartialImage", "present"]);
        }
        for (const fact of noticeImage(image, seen)) assert.ok(imageCan(image, fact), fact.type);
        const blind = { image: unknown, partial: unknown };
        assert.deepEqual([reconcileImage(image, blind), noticeImage(image, blind)], [[], []]);
      }),
    );
  });

  test("a ready image that is gone or torn is damaged, and ready again when its files are back", () => {
    const whole: ObservedImage = {
      image: { is: "present", sizeBytes: 1000, damage: null },
      partial: absent,
    };
    const torn: ObservedImage = { ...whole, image: { is: "present", sizeBytes: 0, damage: "torn" } };
    const ready = imageAfterTypes("image.ready");
    assert.deepEqual(noticeImage(ready, whole), []);
    for (const seen of [torn, { ...whole, image: absent }]) {
      const [fact] = noticeImage(ready, seen);
      assert.equal(fact?.type, "image.damaged");
      const failed = imageAfter(ready, stored(initialState, fact as NewEvent));
      assert.equal(failed.phase, "failed");
      assert.deepEqual(noticeImage(failed, seen), []);
      const back = noticeImage(failed, whole).map((each) => imageAfter(failed, stored(initialState, each)));
      assert.deepEqual([back[0]?.phase, back[0]?.error], ["ready", null]);
    }
    assert.deepEqual(noticeImage(imageAfterTypes("image.build_failed"), whole), []);
  });

  test("what is left of a build goes when its image is not being built", () => {
    const seen: ObservedImage = { image: absent, partial: { is: "present", building: true } };
    const ends = [["image.ready"], ["image.build_failed"], ["image.delete_requested"]] as const;
    for (const types of ends)
      assert.deepEqual(reconcileImage(imageAfterTypes(...types), seen), [
        { kind: "ensureNoPartialImage", imageId },
      ]);
  });

  test("an image waits for the kernel that it needs, and fails with it", () => {
    const seen: ObservedImage = { image: absent, partial: absent };
    const source = { kind: "copy", imageId } as const;
    const image = { ...imageAfterTypes(), id: "copy-00000001", source };
    assert.equal(needOf(source), imageId);
    const building = imageAfterTypes();
    assert.deepEqual([reconcileImage(image, seen, building), noticeImage(image, seen, building)], [[], []]);
    const [effect] = reconcileImage(image, seen, imageAfterTypes("image.ready"));
    assert.equal(effect?.kind, "ensureImage");
    for (const types of [["image.build_failed"], ["image.delete_requested"]] as const) {
      const need = imageAfterTypes(...types);
      assert.deepEqual(reconcileImage(image, seen, need), []);
      const [fact] = noticeImage(image, seen, need);
      assert.equal(fact?.type, "image.build_failed");
    }
  });

  test("a build at work is not removed while its image is wanted", () => {
    const seen: ObservedImage = { image: absent, partial: { is: "present", building: true } };
    assert.deepEqual(
      reconcileImage(imageAfterTypes(), seen).map(({ kind }) => kind),
      ["ensureImage"],
    );
  });
});
