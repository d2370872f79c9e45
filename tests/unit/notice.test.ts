/** What is noticed of VMs: legal for each of them, and only on the evidence of a look. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { noticeVm } from "../../src/core/notice.js";
import { vmCan } from "../../src/machines/vm.js";
import type { EventType } from "../../src/model/events.js";
import type { ObservedVm, Seen } from "../../src/model/model.js";
import { bridged } from "../fixtures.js";
import { caseOf, lackingToRun, unknown } from "../observations.js";
import { reached } from "../reached.js";

type Evidence = readonly [handle: keyof ObservedVm, is: Seen["is"] | "known"];

/** What each fact about the host needs to have seen; without any of it, it is not told. */
const grounds: Readonly<Partial<Record<EventType, Partial<Record<keyof ObservedVm, Seen["is"] | "known">>>>> =
  {
    "vm.disk_attached": {
      ...({ rootDisk: "present", workDisk: "present", seed: "present" } as const),
      ...({ runtime: "present", process: "absent" } as const),
    },
    "vm.network_attached": { network: "present", policy: "known" },
    "vm.network_lost": { network: "absent" },
    "vm.network_restored": { network: "present", policy: "known" },
    "vm.process_started": { process: "present" },
    "vm.ready": { agent: "present" },
    "vm.process_exited": { process: "absent" },
    "vm.paused": { process: "present" },
    "vm.resumed": { process: "present" },
    "vm.deleted": {
      ...({ process: "absent", network: "absent", policy: "absent", rootDevice: "absent" } as const),
      ...({ runtime: "absent", directory: "absent" } as const),
    },
    // Time tells these.
    "vm.expired": {},
    "vm.step_failed": {},
  };

test("each is legal, so that noticing comes to an end, and rests on what was seen", (t) => {
  const often = Object.fromEntries(Object.keys(grounds).map((type) => [type, 3]));
  const hit = reached(t, often);
  fc.assert(
    fc.property(caseOf(), ({ mode, vm, seen, now }) => {
      for (const fact of noticeVm(vm, seen, mode, now)) {
        assert.ok(vmCan(vm, fact), fact.type);
        hit(fact.type);
        for (const [handle, is] of Object.entries(grounds[fact.type] ?? {}) as unknown as Evidence[]) {
          if (is !== "known") assert.equal((seen[handle] as Seen).is, is, `${fact.type} with ${handle}`);
          const hidden = noticeVm(vm, { ...seen, [handle]: unknown }, mode, now);
          assert.ok(!hidden.some(({ type }) => type === fact.type), `${fact.type} without ${handle}`);
        }
      }
    }),
    { numRuns: 5000 },
  );
});

test("in system mode disks are in place with a whole device over them, and the network with a whole tap", (t) => {
  const hit = reached(t, { "vm.disk_attached": 40, "vm.network_attached": 50 });
  fc.assert(
    fc.property(caseOf(bridged), ({ mode, vm, seen, now }) => {
      for (const { type } of noticeVm(vm, seen, mode, now)) {
        if (type !== "vm.disk_attached" && type !== "vm.network_attached") continue;
        const its = type === "vm.disk_attached" ? /^(root|work|seed|runtime|process)/ : /network|policy/;
        assert.deepEqual(
          lackingToRun(vm, seen, mode).filter((name) => its.test(name)),
          [],
        );
        hit(type);
      }
    }),
    { numRuns: 3000 },
  );
});
