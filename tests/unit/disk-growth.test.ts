/** Pure: when a VM's two disks have their sizes, and which sizes of a root disk are refused. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { refuseRootSize } from "../../src/api/root-size.js";
import { growthOf } from "../../src/model/disk-growth.js";
import { seenRunning, spec } from "../fixtures.js";

const disk = (miB: number, growing: "no" | "begun" | "at_start" = "no") =>
  ({ is: "present", miB, growing }) as const;

test("both disks count, whichever of them is behind", () => {
  const vm = { spec: { ...spec, rootMiB: 6144 } };
  const of = (rootDisk: ReturnType<typeof disk>, workDisk = disk(spec.diskMiB)) =>
    growthOf(vm, { ...seenRunning, rootDisk, workDisk });
  assert.equal(of(disk(6144)), "no");
  assert.equal(of(disk(6143)), null);
  assert.equal(of(disk(6144), disk(spec.diskMiB - 1)), null);
  assert.equal(of(disk(6144, "begun"), disk(spec.diskMiB, "at_start")), "begun");
  assert.equal(of(disk(6144, "at_start")), "at_start");
  assert.equal(growthOf(vm, { ...seenRunning, rootDisk: { is: "absent" } }), null);
  assert.equal(
    growthOf({ spec }, { ...seenRunning, rootDisk: disk(0) }),
    "no",
    "without a wish any size is right",
  );
});

test("a root disk is never smaller than its image's, and in system mode it has that size", () => {
  refuseRootSize(undefined, null, "x");
  refuseRootSize(4096, 4096, "x");
  assert.throws(() => refuseRootSize(4095, 4096, "x"), { code: "disk_shrinks", hint: /--root-size 4G/ });
  assert.throws(() => refuseRootSize(8192, null, "x"), {
    code: "root_size_unsupported",
    hint: /--disk-size/,
  });
});
