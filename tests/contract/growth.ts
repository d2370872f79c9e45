/** What every world must do to make the disk of a VM that runs grow. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { VmId } from "../../src/model.js";
import type { Actor } from "./actor.js";

/** Size and growth of the VM's work disk. */
export async function workDiskOf(actor: Actor, vmId: VmId) {
  const { workDisk } = await actor.see(vmId);
  return workDisk.is === "present" ? [workDisk.miB, workDisk.growing] : workDisk.is;
}

export function growthContract(actor: () => Actor, vmId: VmId): void {
  const size = () => workDiskOf(actor(), vmId);
  const grow = (diskMiB: number) => actor().perform({ kind: "ensureDiskSize", vmId, diskMiB });
  const runs = async () => {
    await actor().disk(vmId);
    await actor().process(vmId, actor().bench.address(1));
    await actor().perform({ kind: "ensureAgentLink", vmId });
    await actor().seeWhen(vmId, ({ agent }) => agent.is === "present" && agent.answering);
  };

  test("ensureDiskSize makes the work disk of a running VM grow, takes up what was cut short, never shrinks", async () => {
    await runs();
    for (let time = 1; time <= 2; time++) {
      await grow(96);
      assert.deepEqual(await size(), [96, "no"]);
    }
    actor().bench.cutGrowthShort(vmId);
    assert.deepEqual(await size(), [96, "begun"]);
    await grow(80);
    assert.deepEqual(await size(), [96, "no"]);
  });

  test("where the guest cannot follow, the room is there and the next ensureDisk does the rest", async () => {
    await runs();
    actor().bench.loseResize2fs(vmId);
    for (let time = 1; time <= 2; time++) {
      await grow(96);
      assert.deepEqual(await size(), [96, "at_start"]);
    }
    const { process } = await actor().see(vmId);
    assert.ok(process.is === "present");
    await actor().perform({ kind: "ensureNoProcess", vmId, process });
    await assert.rejects(grow(128), { code: "vm_not_running" });
    assert.deepEqual(await size(), [96, "at_start"]);
    await actor().disk(vmId, 96);
    assert.deepEqual(await size(), [96, "no"]);
  });
}
