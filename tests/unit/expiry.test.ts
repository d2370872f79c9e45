/** A VM that is wanted for a time, and labels: what decides about them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { decide } from "../../src/core/decide.js";
import { noticeVm } from "../../src/core/notice.js";
import { event, vmStream } from "../../src/model/events.js";
import type { State, Vm } from "../../src/model/model.js";
import { nextDeadline } from "../../src/reconcilers/index.js";
import {
  capabilities,
  given,
  sample,
  sampleData,
  seenStopped,
  t0,
  timeouts,
  vmId,
  ways,
  withImage,
} from "../fixtures.js";

const created = (ttlMs?: number) =>
  event(vmStream(vmId), "vm.created", { ...sampleData["vm.created"], ...(ttlMs !== undefined && { ttlMs }) });
const expired = [event(vmStream(vmId), "vm.expired", {})];
const minute = 60_000;

test("when its time is over a VM is deleted, wherever it is, and not a moment before", () => {
  for (const [position, types] of Object.entries(ways)) {
    const { vms } = given([created(minute), ...types.map(sample)]);
    const vm = vms[vmId] as Vm;
    const over = position === "deleting" || position === "deleted";
    const told = (now: number) =>
      noticeVm(vm, seenStopped, capabilities, now).filter(({ type }) => type === "vm.expired");
    assert.deepEqual(told(t0 + minute - 1), [], position);
    assert.deepEqual(told(t0 + minute), over ? [] : expired, position);
    assert.deepEqual(
      given(expired, t0 + minute, given([created(minute), ...types.map(sample)])).vms[vmId]?.phase,
      position === "deleted" ? "deleted" : "deleting",
      position,
    );
  }
});

test("the moment is waited for, as far as timers reach; who was given no time has none", () => {
  const deadlineOf = (ttlMs?: number) => nextDeadline(given([created(ttlMs)]).vms[vmId] as Vm, t0);
  assert.equal(deadlineOf(minute), t0 + minute);
  assert.equal(deadlineOf(365 * 24 * 60 * minute), null);
  assert.equal(deadlineOf(), null);
});

test("labels come with the VM, change by name, and a change that changes nothing is none", () => {
  const set = (state: State, labels: Record<string, string | null>) =>
    decide(state, { kind: "set", vmId, changes: {}, labels }, timeouts);
  let state = given([created()], t0, withImage);
  const change = (labels: Record<string, string | null>) => {
    const events = set(state, labels);
    state = given(events, t0, state);
    return events.length;
  };
  assert.equal(change({ task: "42", ci: "" }), 1);
  assert.deepEqual(state.vms[vmId]?.labels, { task: "42", ci: "" });
  assert.equal(change({ task: "42" }), 0);
  assert.equal(change({ ci: null, no: null }), 1);
  assert.deepEqual(state.vms[vmId]?.labels, { task: "42" });
  assert.equal(change({ no: null }), 0);
});
