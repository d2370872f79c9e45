/** Room on this machine: what VMs together may have of its memory and its disk, and who is refused for its sake. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { VmActionResult, VmSetResult, VmView } from "../../src/contract/contract.js";
import type { DaemonView } from "../../src/contract/daemon.js";
import type { ImagePullResult } from "../../src/contract/images.js";
import { roomChecks } from "../../src/doctor/room.js";
import { ask, askWrong } from "../api-checks.js";
import { DaemonBench } from "../daemon-bench.js";

let bench: DaemonBench;
before(async () => {
  bench = await DaemonBench.open();
  bench.host.memoryMiB = 1000;
  await bench.start();
  await bench.pullImage();
  await bench.runningVm("one");
});
after(() => bench.close());

const create = (name: string, memoryMiB: number, more: object = {}) => ({
  body: { commandId: `command-${name}`, name, spec: { memoryMiB }, start: true, ...more },
});
const act = async (action: string, ref: string, force?: boolean) => {
  const body = { action, refs: [ref], ...(force && { force }) };
  return (await ask<VmActionResult>(bench, "vmAct", { body })).results[0]?.error;
};

test("a VM that would be one too many is refused with the sum, and started where it must be", async () => {
  assert.equal(await askWrong(bench, "vmCreate", 503, create("two", 600)), "memory_promised");
  assert.deepEqual(
    (await ask<VmView[]>(bench, "vmList")).map(({ name }) => name),
    ["one"],
  );
  const { id } = await ask<VmView>(bench, "vmCreate", create("two", 600, { start: false }));
  const refused = await act("start", "two");
  assert.equal(refused?.code, "memory_promised");
  assert.equal(
    refused?.message,
    "two would have 600M of memory, and running VMs have 512M: 1112M; the limit here is 1000M",
  );
  assert.equal(await act("start", "two", true), undefined);
  await bench.event(id, "vm.ready");
  const { room } = await ask<DaemonView>(bench, "daemon");
  assert.deepEqual(room.memoryMiB, { promised: 1112, limit: 1000 });
  assert.equal(roomChecks(room)[0]?.status, "warn");
  // One that runs already asks for nothing more.
  assert.equal((await act("restart", "two"))?.code, "memory_promised");
  assert.equal(await act("start", "two"), undefined);
  await act("kill", "two");
  await bench.event(id, "vm.process_exited");
  assert.equal((await ask<DaemonView>(bench, "daemon")).room.memoryMiB.promised, 512);
});

test("what this machine never has is refused at once, also where nothing starts", async () => {
  const set = async (memoryMiB: number, force?: boolean) => {
    const body = { refs: ["two"], spec: { memoryMiB }, ...(force && { force }) };
    return (await ask<VmSetResult>(bench, "vmSet", { body })).results[0]?.error;
  };
  const error = await set(1024);
  assert.deepEqual([error?.code, error?.retry], ["memory_promised", "never"]);
  assert.equal(await set(1024, true), undefined);
  assert.equal(await set(300), undefined);
  const huge = create("huge", 1024, { start: false });
  assert.equal(await askWrong(bench, "vmCreate", 422, huge), "memory_promised");
});

test("below what is kept free nothing is created, started or pulled, and what runs goes on", async () => {
  bench.host.full = true;
  try {
    assert.equal(await askWrong(bench, "vmCreate", 503, create("late", 128)), "disk_reserved");
    assert.equal((await act("start", "two"))?.code, "disk_reserved");
    assert.equal((await ask<VmView>(bench, "vmShow", { ref: "one" })).phase, "running");
    assert.equal(await act("stop", "one"), undefined);
    const pull = { body: { ref: "debian-slim" } };
    assert.equal((await ask<ImagePullResult>(bench, "imagePull", pull)).already, true);
    const { room } = await ask<DaemonView>(bench, "daemon");
    assert.deepEqual([room.diskMiB?.free, room.diskMiB?.reserve], [0, 2048]);
    assert.match(roomChecks(room)[1]?.detail ?? "", /below 2G/);
  } finally {
    bench.host.full = false;
  }
  assert.equal(await act("start", "two"), undefined);
});
