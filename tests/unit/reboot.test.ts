/** A guest that reboots is started again, ever later if it goes on, and one whose kernel panics is not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { noticeVm } from "../../src/core/notice.js";
import { initialState } from "../../src/core/projection.js";
import { vmAfter } from "../../src/machines/vm.js";
import { event, vmStream } from "../../src/model/events.js";
import type { ProcessExit, Vm } from "../../src/model/model.js";
import { nextDeadline } from "../../src/reconcilers/index.js";
import { capabilities, sample, seenRunning, stored, t0, vmAfterTypes, vmId, ways } from "../fixtures.js";

const minute = 60_000;
const seen = { ...seenRunning, process: { is: "absent" } } as const;
const ended = (vm: Vm, reason: ProcessExit["reason"], at: number): Vm =>
  vmAfter(vm, stored(initialState, event(vmStream(vmId), "vm.process_exited", { reason, detail: "it" }), at));
const upAgain = (vm: Vm, at: number): Vm =>
  (ways["running"] ?? [])
    .slice(1)
    .reduce((now, type) => vmAfter(now, stored(initialState, sample(type), at)), vm);
const running = () => vmAfterTypes(...(ways["running"] ?? []));
const starts = (vm: Vm, now: number) => noticeVm(vm, seen, capabilities, now).map(({ type }) => type);

test("the first reboot starts the VM again at once", () => {
  const vm = ended(running(), "reboot", t0);
  assert.deepEqual([vm.phase, vm.step, vm.lastExit?.reason], ["starting", "disk", "reboot"]);
  assert.deepEqual(starts(vm, t0), ["vm.disk_attached"]);
});

test("each further one waits longer, and the loop is told until when", () => {
  let [vm, at] = [running(), t0];
  const waits: number[] = [];
  for (let n = 0; n < 6; n++) {
    vm = ended(vm, "reboot", at);
    const next = nextDeadline(vm, at) ?? at;
    if (next > at) assert.deepEqual(starts(vm, next - 1), []);
    assert.deepEqual(starts(vm, next), ["vm.disk_attached"]);
    waits.push((next - at) / 1000);
    at = next + 1000;
    vm = upAgain(vm, at);
    assert.equal(vm.phase, "running");
  }
  assert.deepEqual(waits, [0, 2, 4, 8, 16, 32]);
  const calm = ended(vm, "reboot", at + 11 * minute);
  assert.deepEqual(starts(calm, at + 11 * minute), ["vm.disk_attached"]);
});

test("a start that a client asks for waits for nothing", () => {
  let vm = running();
  for (let n = 0; n < 4; n++) vm = upAgain(ended(vm, "reboot", t0), t0);
  const started = vmAfter(ended(vm, "guest", t0), stored(initialState, sample("vm.start_requested"), t0));
  assert.deepEqual(starts(started, t0), ["vm.disk_attached"]);
});

test("a panic, a power-off and a lost VMM stop the VM", () => {
  for (const reason of ["panic", "guest", "lost"] as const)
    assert.equal(ended(running(), reason, t0).phase, "stopped", reason);
});

test("a guest that reboots before it has answered has failed to start", () => {
  const vm = ended(vmAfterTypes(...(ways["starting.agent"] ?? [])), "reboot", t0);
  assert.deepEqual([vm.phase, vm.error?.code], ["error", "vmm_exited"]);
});
