/** A VMM in which no guest runs: it is never taken for a VM that runs, and it is ended whatever is wanted. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { noticeVm } from "../../src/core/notice.js";
import { reconcileProcess } from "../../src/reconcilers/process.js";
import { capabilities, identity, seenRunning, t0, vmAfterTypes, ways } from "../fixtures.js";

const idle = { ...seenRunning, process: { is: "present", ...identity, idle: true } } as const;

describe("an idle VMM", () => {
  for (const [position, way] of Object.entries(ways)) {
    const vm = vmAfterTypes(...way);
    test(`is ended where a VM is ${position}`, () => {
      assert.deepEqual(reconcileProcess(vm, idle, capabilities, t0), [
        { kind: "ensureNoProcess", vmId: vm.id, process: identity },
      ]);
    });
  }

  test("has not been started, and has not ended yet", () => {
    const starting = vmAfterTypes(...(ways["starting.process"] ?? []));
    assert.deepEqual(noticeVm(starting, idle, capabilities, t0), []);
    const running = vmAfterTypes(...(ways["running"] ?? []), "vm.booted");
    assert.deepEqual(noticeVm(running, idle, capabilities, t0), []);
  });
});
