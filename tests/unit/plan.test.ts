/** Failures: which of them end a start or a build, and which are only told. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { failureFacts } from "../../src/core/plan.js";
import { fold, initialState } from "../../src/core/projection.js";
import type { Effect, Vm } from "../../src/model/model.js";
import { given, identity, imageId, sample, spec, stored, vmAfterTypes, vmId, ways } from "../fixtures.js";

const failure = { code: "broken", message: "it broke", retry: "later" } as const;
const address = "127.7.0.1";
const last = { final: true, say: true, untold: 0 };
const stateOf = (vm: Vm) => ({ ...initialState, vms: { [vm.id]: vm } });
const types = (position: string, effect: Effect, how: typeof last) =>
  failureFacts(stateOf(vmAfterTypes(...(ways[position] ?? []))), effect, failure, how).map(
    ({ type }) => type,
  );

test("a start fails with its disks or its process, at the last try", () => {
  const disk: Effect = { kind: "ensureDisk", vmId, imageId, name: "ann", diskMiB: 64, rootMiB: 0 };
  const process: Effect = { kind: "ensureProcess", vmId, imageId, name: "ann", spec, address };
  assert.deepEqual(types("starting.disk", disk, last), ["vm.step_failed"]);
  assert.deepEqual(types("starting.process", process, last), ["vm.step_failed"]);
  assert.deepEqual(types("starting.disk", disk, { ...last, final: false }), ["vm.effect_failed"]);
  assert.deepEqual(types("stopping", process, last), ["vm.effect_failed"], "no start is under way");
});

test("what a start needs and cannot be repaired under a guest that boots or runs is told, and not worth its end", () => {
  const repairs: Effect[] = [
    { kind: "ensureNetwork", vmId, address },
    { kind: "ensurePolicy", vmId, address, net: spec.net },
    { kind: "ensureNoPolicy", vmId },
  ];
  for (const effect of repairs) {
    assert.deepEqual(types("starting.network", effect, last), ["vm.step_failed"]);
    for (const position of ["starting.agent", "running"])
      assert.deepEqual(types(position, effect, last), ["vm.effect_failed"], position);
  }
});

test("whatever else fails is told once and fails no start", () => {
  const others: Effect[] = [
    { kind: "ensureAgentLink", vmId },
    { kind: "ensureForward", vmId, address, guestPort: 22 },
    { kind: "ensureNoProcess", vmId, process: identity },
  ];
  for (const effect of others) {
    assert.deepEqual(types("starting.agent", effect, last), ["vm.effect_failed"]);
    assert.deepEqual(types("starting.agent", effect, { final: true, say: false, untold: 0 }), []);
  }
  assert.deepEqual(failureFacts(initialState, others[0] as Effect, failure, last), [], "the VM is forgotten");
});

test("a failed try of a build is told, the build fails at its last one, and what fails after it changes nothing", () => {
  const effect: Effect = { kind: "ensureImage", imageId, name: "debian-slim", source: { kind: "catalog" } };
  const building = given([sample("image.pull_requested")]);
  const ready = fold(building, [stored(building, sample("image.ready"))]);
  const facts = (state: typeof building, final: boolean, say = true) =>
    failureFacts(state, effect, failure, { final, say, untold: 0 }).map(({ type }) => type);
  assert.deepEqual(facts(building, true), ["image.build_failed"]);
  assert.deepEqual(facts(building, false), ["image.effect_failed"]);
  assert.deepEqual(facts(building, false, false), []);
  assert.deepEqual([...facts(ready, true), ...facts(ready, false)], []);
});
