/** Changing what VMs have, through the API: who gets it, who refuses, and who must be started again for it. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as nextTurn } from "node:timers/promises";
import type { VmSetResult, VmStats, VmView } from "../../src/contract/contract.js";
import type { Daemon } from "../../src/daemon/daemon.js";
import { ask, askWrong } from "../api-checks.js";
import { DaemonBench } from "../daemon-bench.js";
import { imageRootMiB } from "../sim/disks.js";

let bench: DaemonBench;
let serving: Daemon;
before(async () => {
  bench = await DaemonBench.open();
  serving = await bench.start();
  await bench.pullImage();
  await bench.runningVm("up");
  const body = { commandId: "command-down", name: "down", spec: {}, start: false };
  await bench.ask("POST", "/v1/vms", body);
});
after(() => bench.close());

const set = async (refs: string[], spec: object) =>
  (await ask<VmSetResult>(bench, "vmSet", { body: { refs, spec } })).results;

test("each VM is told once, in the order of the refs, and only one that runs needs a restart", async () => {
  const results = await set(["down", "nobody", "up", "down"], { vcpu: 2, diskMiB: 2048 });
  assert.deepEqual(
    results.map(({ ref, vm, error }) => [ref, vm?.spec.vcpu, error?.code, vm?.afterRestart]),
    [
      ["down", 2, undefined, []],
      ["nobody", undefined, "vm_not_found", undefined],
      ["up", 2, undefined, ["vcpu"]],
    ],
  );
  const again = await set(["up"], { vcpu: 2 });
  assert.deepEqual(again[0]?.vm?.afterRestart, ["vcpu"], "it still runs with what it had");
  assert.deepEqual((await set(["up"], { vcpu: 1 }))[0]?.vm?.afterRestart, [], "it has that already");
});

test("a guest that runs is shown with what it has, also by the next daemon, and restarted with the rest", async () => {
  const show = () => ask<VmView>(bench, "vmShow", { ref: "up" });
  const had = { vcpu: 1, memoryMiB: (await show()).spec.memoryMiB };
  await set(["up"], { memoryMiB: 640, vcpu: 3 });
  const wanted = { vcpu: 3, memoryMiB: 640 };
  for (const daemon of ["this", "next"]) {
    const { spec, now, afterRestart } = await show();
    assert.deepEqual(now, had, daemon);
    assert.deepEqual({ ...spec, ...wanted }, spec, daemon);
    assert.deepEqual(afterRestart, ["vcpu", "memoryMiB"], daemon);
    const [listed] = (await ask<VmView[]>(bench, "vmList")).filter(({ name }) => name === "up");
    assert.deepEqual(listed?.now, had, daemon);
    const { vcpu, memoryMiB } = await ask<VmStats>(bench, "vmStats", { ref: "up" });
    assert.deepEqual([vcpu, memoryMiB], [had.vcpu, had.memoryMiB], daemon);
    if (daemon === "next") break;
    await serving.close();
    serving = await bench.start();
  }
  const { id, seq } = await show();
  await bench.ask("POST", "/v1/vms/actions", { action: "restart", refs: ["up"] });
  await bench.event(id, "vm.ready", seq);
  const { now, afterRestart } = await show();
  assert.deepEqual([now, afterRestart], [wanted, []]);
  await bench.ask("POST", "/v1/vms/actions", { action: "kill", refs: ["up"] });
  await bench.event(id, "vm.process_exited", seq);
  assert.equal((await show()).now, null);
  await bench.ask("POST", "/v1/vms/actions", { action: "start", refs: ["up"] });
  await bench.event(id, "vm.ready", (await show()).seq);
});

/** What a client sees once the disk of that VM has come to rest. */
async function restingDisk(): Promise<string> {
  for (;;) {
    const { diskSize } = await ask<VmView>(bench, "vmShow", { ref: "up" });
    if (diskSize !== "growing") return diskSize;
    await nextTurn(5);
  }
}

test("the disk of a VM that runs grows under it", async () => {
  const [result] = await set(["up"], { diskMiB: 3072 });
  assert.deepEqual(result?.vm?.afterRestart, []);
  assert.equal(await restingDisk(), "fits");
  const { workMiB, fileSystemMiB } = bench.host.vm(result?.vm?.id ?? "");
  assert.deepEqual([workMiB, fileSystemMiB], [3072, 3072]);
});

test("the root disk of a VM that runs grows under it too, and is never smaller than the image's", async () => {
  const [result] = await set(["up"], { rootMiB: 3000 });
  assert.deepEqual([result?.error, result?.vm?.afterRestart], [undefined, []]);
  assert.equal(await restingDisk(), "fits");
  const { rootMiB, rootFileSystemMiB } = bench.host.vm(result?.vm?.id ?? "");
  assert.deepEqual([rootMiB, rootFileSystemMiB], [3000, 3000]);
  for (const [ref, small] of [["up", 2999] as const, ["down", imageRootMiB - 1] as const])
    assert.equal((await set([ref], { rootMiB: small }))[0]?.error?.code, "disk_shrinks", ref);
  const body = { commandId: "command-tiny", name: "tiny", spec: { rootMiB: 512 }, start: false };
  assert.equal(await askWrong(bench, "vmCreate", 422, { body }), "disk_shrinks");
});

test("where the guest cannot follow, the disk is there in its new size after the next start", async () => {
  for (const { process } of bench.host.vms.values()) if (process) process.growsFileSystem = false;
  const [result] = await set(["up"], { diskMiB: 4096 });
  const id = result?.vm?.id ?? "";
  assert.equal(await restingDisk(), "at_start");
  assert.equal(bench.host.vm(id).fileSystemMiB, 3072);
  await bench.ask("POST", "/v1/vms/actions", { action: "restart", refs: ["up"] });
  await bench.event(id, "vm.ready", result?.vm?.seq);
  assert.deepEqual([bench.host.vm(id).fileSystemMiB, bench.host.vm(id).growing], [4096, "no"]);
});

test("what makes no sense is refused", async () => {
  assert.equal((await set(["down"], { diskMiB: 64 }))[0]?.error?.code, "disk_shrinks");
  for (const spec of [
    {},
    { vcpu: 0 },
    { memoryMiB: 1.5 },
    { net: "public" },
    { net: { mode: "on" } },
    { net: { allow: [7] } },
    { cores: 2 },
  ]) {
    const body = { refs: ["down"], spec };
    assert.equal(await askWrong(bench, "vmSet", 400, { body }), "invalid_request", JSON.stringify(spec));
  }
});
