/** VMs that run and that the log does not know, with real processes in QEMU's place: told, left alone, ended on demand. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { after, before, test } from "node:test";
import type { UnknownVm } from "../../src/contract/unknown.js";
import { VmmControls } from "../../src/effects/vmm/controls.js";
import { vmmDriver } from "../../src/effects/vmm/driver.js";
import { scanProcesses } from "../../src/effects/vmm/processes.js";
import { qemuVmm } from "../../src/effects/vmm/qemu/qemu.js";
import { vmHandles } from "../../src/home/handles.js";
import type { Effect } from "../../src/model/model.js";
import { ask, askWrong } from "../api-checks.js";
import { DaemonBench } from "../daemon-bench.js";

/** A bench whose VMMs are looked for, and ended, as those of a real home are. */
class RealProcesses extends DaemonBench {
  readonly ended: string[] = [];
  /** Why the look at processes is not whole. */
  unreadable: string | undefined;
  get #qemu() {
    const launch = () => Promise.reject(new Error("nothing is started here"));
    return qemuVmm({ home: this.home, clock: this.clock, environment: {}, launch });
  }
  override vmms() {
    return { ...scanProcesses(this.home, [this.#qemu]), unreadable: this.unreadable };
  }
  override async openWorld() {
    const world = await super.openWorld();
    const { home, clock, ended } = this;
    const controls = new VmmControls(clock, () => undefined);
    const qemu = this.#qemu;
    const driver = vmmDriver({
      home,
      controls,
      vmms: [qemu],
      starts: qemu,
      askGuest: async () => undefined,
    });
    const simulated = world.perform.bind(world);
    const perform: typeof world.perform = async (effect: Effect, context) => {
      if (effect.kind !== "ensureNoProcess" || this.host.vms.get(effect.vmId)?.process)
        return simulated(effect, context);
      ended.push(effect.vmId);
      await driver.ensureNoProcess(effect.vmId, effect.process, context.signal);
    };
    return Object.assign(world, { perform });
  }
}

const bench = new RealProcesses();
const children: ChildProcess[] = [];
before(async () => {
  await bench.begin();
  await bench.start();
  await bench.pullImage();
});
after(async () => {
  for (const child of children) child.kill("SIGKILL");
  await bench.close();
});

/** What looks like the QEMU of that VM of this home, and its end. */
async function inPlaceOfQemu(
  id: string,
): Promise<{ pid: number; directory: string; ended: Promise<unknown> }> {
  const { runtime, directory } = vmHandles(bench.home, id);
  for (const place of [runtime, directory]) mkdirSync(place, { recursive: true });
  const argv = ["-e", "setInterval(() => {}, 1e6)", "--", "-name", `guest=banger-${id},debug-threads=on`];
  const child = spawn(process.execPath, argv, { cwd: runtime, stdio: "ignore" });
  children.push(child);
  const ended = new Promise((resolve) => child.once("exit", resolve));
  await new Promise((resolve) => child.once("spawn", resolve));
  return { pid: child.pid as number, directory, ended };
}

test("a VM that runs and that the log does not know is told, left alone, and ended when that is asked", async () => {
  const known = await bench.runningVm("ann");
  await inPlaceOfQemu(known);
  const [first, second] = [await inPlaceOfQemu("0123abcd"), await inPlaceOfQemu("4567cdef")];
  const listed = async () =>
    (await ask<UnknownVm[]>(bench, "unknownVmList")).toSorted((a, b) => (a.id < b.id ? -1 : 1));
  const viewOf = (id: string, { pid, directory }: typeof first) => ({ id, pid, directory });
  const both = [viewOf("0123abcd", first), viewOf("4567cdef", second)];
  assert.deepEqual(await listed(), both);
  for (const id of [known, "ann", "0123", "89abcdef"])
    assert.equal(await askWrong(bench, "unknownVmKill", 404, { ref: id }), "vm_not_found");
  // Other VMs come and go meanwhile: a pass of the loop is over all that is there.
  await bench.runningVm("bob");
  assert.deepEqual([bench.ended, await listed()], [[], both]);
  bench.unreadable = "one process hides";
  assert.equal(await askWrong(bench, "unknownVmList", 503), "host_failed");
  assert.deepEqual(await ask<UnknownVm>(bench, "unknownVmKill", { ref: "0123abcd" }), both[0]);
  bench.unreadable = undefined;
  await first.ended;
  assert.deepEqual(await listed(), [both[1]]);
  assert.ok(existsSync(first.directory), "its disks stay");
  assert.deepEqual(bench.ended, ["0123abcd"]);
});
