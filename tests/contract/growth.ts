/** What every world must do to make the disk of a VM that runs grow. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { VmId } from "../../src/model/model.js";
import type { Actor } from "./actor.js";

/** Size and growth of one of the VM's disks. */
async function diskOf(actor: Actor, vmId: VmId, disk: "workDisk" | "rootDisk") {
  const seen = (await actor.see(vmId))[disk];
  return seen.is === "present" ? [seen.miB, seen.growing] : seen.is;
}
export const workDiskOf = (actor: Actor, vmId: VmId) => diskOf(actor, vmId, "workDisk");
const rootDiskOf = (actor: Actor, vmId: VmId) => diskOf(actor, vmId, "rootDisk");

export function growthContract(actor: () => Actor, vmId: VmId): void {
  const size = () => workDiskOf(actor(), vmId);
  const grow = (diskMiB: number, rootMiB = 0) =>
    actor().perform({ kind: "ensureDiskSize", vmId, diskMiB, rootMiB });
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

/** Where root disks can grow: user mode. */
export function rootGrowthContract(actor: () => Actor, vmId: VmId): void {
  const size = () => rootDiskOf(actor(), vmId);
  const grow = (rootMiB: number) => actor().perform({ kind: "ensureDiskSize", vmId, diskMiB: 64, rootMiB });

  test("a root disk is as large as its image's, or as asked for; it grows and never shrinks", async () => {
    await actor().disk(vmId);
    const image = (await size())[0] as number;
    assert.deepEqual(await size(), [image, "no"]);
    await actor().disk(vmId, 64, image + 100);
    assert.deepEqual(await size(), [image + 100, "no"]);
    await actor().disk(vmId, 64, image + 50);
    assert.deepEqual(await size(), [image + 100, "no"]);
    await actor().remove(vmId);
    await actor().disk(vmId, 64, image + 200);
    assert.deepEqual(await size(), [image + 200, "no"]);
  });

  test("the root disk of a running VM grows; where the guest cannot follow, it does when it boots", async () => {
    await actor().disk(vmId, 64, 2048);
    await actor().process(vmId, actor().bench.address(1));
    await actor().perform({ kind: "ensureAgentLink", vmId });
    await actor().seeWhen(vmId, ({ agent }) => agent.is === "present" && agent.answering);
    for (let time = 1; time <= 2; time++) {
      await grow(2100);
      assert.deepEqual(await size(), [2100, "no"]);
    }
    actor().bench.loseResize2fs(vmId);
    for (let time = 1; time <= 2; time++) {
      await grow(2200);
      assert.deepEqual(await size(), [2200, "at_start"]);
    }
    const { process } = await actor().see(vmId);
    assert.ok(process.is === "present");
    await actor().perform({ kind: "ensureNoProcess", vmId, process });
    await actor().disk(vmId, 64, 2200);
    assert.deepEqual(await size(), [2200, "no"]);
  });
}
