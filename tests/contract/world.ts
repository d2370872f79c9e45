/** What every world must do, effect by effect: run against the real host and against the simulated one. */
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import type { Effect, ObservedVm } from "../../src/model/model.js";
import { Actor, type Bench } from "./actor.js";
import { forwardContract } from "./forwards.js";
import { growthContract, rootGrowthContract, workDiskOf } from "./growth.js";
import { systemContract } from "./system.js";

/** In no other run of a contract on this host: a process of the same VM, of whatever home, would be a doubt. */
const idOf = (first: string) => `${first}${(process.pid % 0x1000000).toString(16).padStart(6, "0")}`;
const [idA, idB] = [idOf("0a"), idOf("0b")];

const fileHandles = ["directory", "rootDisk", "workDisk", "seed", "runtime"] as const;
const is = (seen: ObservedVm) => fileHandles.map((handle) => seen[handle].is);
const all = (value: string) => fileHandles.map(() => value);

/** States the contract of `makeBench`'s world as tests: what all worlds have to do, and what those of its mode do. */
export function worldContract(
  name: string,
  makeBench: () => Promise<Bench>,
  mode: "user" | "system" = "user",
): void {
  describe(`world contract: ${name}`, () => {
    let actor: Actor;
    before(async () => {
      actor = new Actor(await makeBench());
    });
    afterEach(async () => {
      for (const id of [idA, idB]) await actor.remove(id);
    });
    after(() => actor.bench.close());
    diskContract(() => actor);
    processContract(() => actor);
    growthContract(() => actor, idA);
    endContract(() => actor);
    if (mode === "user") {
      rootGrowthContract(() => actor, idB);
      forwardContract(() => actor, idA, idB);
    } else systemContract(() => actor, idA, idB);
    imageContract(() => actor);
  });
}

function diskContract(actor: () => Actor): void {
  test("of a VM that was never made, everything is absent", async () => {
    for (const { is: seen } of Object.values(await actor().see(idA))) assert.equal(seen, "absent");
  });

  test("ensureDisk makes both directories and every disk, and a second time is success", async () => {
    await actor().disk(idA);
    assert.deepEqual(is(await actor().see(idA)), all("present"));
    await actor().disk(idA);
    assert.deepEqual(is(await actor().see(idA)), all("present"));
    assert.deepEqual(is(await actor().see(idB)), all("absent"));
  });

  test("ensureDisk makes a work disk grow, takes up where a growth was cut short, and never shrinks one", async () => {
    const size = () => workDiskOf(actor(), idA);
    await actor().disk(idA);
    assert.deepEqual(await size(), [64, "no"]);
    await actor().disk(idA, 96);
    assert.deepEqual(await size(), [96, "no"]);
    actor().bench.cutGrowthShort(idA);
    assert.deepEqual(await size(), [96, "begun"]);
    await actor().disk(idA, 80);
    assert.deepEqual(await size(), [96, "no"]);
  });

  test("ensureDisk of an image that is not there says so", async () => {
    const effect: Effect = {
      kind: "ensureDisk",
      vmId: idA,
      imageId: "nothing-00000000",
      name: "a",
      diskMiB: 64,
      rootMiB: 0,
    };
    await assert.rejects(actor().perform(effect), { code: "image_missing" });
  });

  test("ensureNoRuntime and ensureNoDirectory leave nothing, and a second time is success", async () => {
    await actor().disk(idA);
    await actor().perform({ kind: "ensureNoRuntime", vmId: idA });
    assert.equal((await actor().see(idA)).runtime.is, "absent");
    for (let time = 1; time <= 2; time++) {
      await actor().perform({ kind: "ensureNoDirectory", vmId: idA });
      assert.deepEqual(is(await actor().see(idA)), all("absent"));
    }
  });

  test("what cannot be looked at is unknown, not absent", async () => {
    await actor().disk(idA);
    const restore = actor().bench.hideDirectory(idA);
    try {
      const seen = await actor().see(idA);
      assert.equal(seen.directory.is, "unknown");
      assert.equal(seen.rootDisk.is, "unknown");
      assert.equal(seen.process.is, "absent");
    } finally {
      restore();
    }
  });
}

function processContract(actor: () => Actor): void {
  test("ensureProcess starts one process, and a second time is success", async () => {
    await actor().disk(idA);
    const first = await actor().process(idA, actor().bench.address(1));
    const second = await actor().process(idA, actor().bench.address(1));
    assert.deepEqual(second, first);
  });

  test("another daemon finds the same process, its sockets and its forwards", async () => {
    const address = actor().bench.address(1);
    await actor().disk(idA);
    const before = await actor().process(idA, address);
    const { portForwarding } = actor().bench.world.capabilities;
    if (portForwarding) await actor().perform({ kind: "ensureForward", vmId: idA, address, guestPort: 8080 });
    await actor().bench.restart();
    const seen = await actor().seeWhen(idA, ({ process }) => process.is === "present");
    assert.equal(seen.process.is === "present" && seen.process.pid, before.pid);
    assert.equal(seen.process.is === "present" && seen.process.startTime, before.startTime);
    if (portForwarding) {
      const { forwards } = await actor().seeWhen(idA, (then) => then.forwards.is === "present");
      assert.deepEqual(forwards.is === "present" && forwards.list.map((f) => f.guestPort), [8080]);
    }
    assert.deepEqual(is(seen), all("present"));
    assert.deepEqual([seen.agent.is, seen.listeners.is], ["absent", "absent"]);
  });

  test("without its disks a VM gets no process", async () => {
    await assert.rejects(actor().process(idA, actor().bench.address(1)));
    assert.equal((await actor().see(idA)).process.is, "absent");
  });

  test("the sockets of a process that runs are not taken away", async () => {
    await actor().disk(idA);
    await actor().process(idA, actor().bench.address(1));
    await assert.rejects(actor().perform({ kind: "ensureNoRuntime", vmId: idA }), { code: "vm_runs" });
    assert.equal((await actor().see(idA)).runtime.is, "present");
  });

  test("an agent link is present from the moment it is wanted and goes with the process", async () => {
    await actor().disk(idA);
    const process = await actor().process(idA, actor().bench.address(1));
    assert.equal((await actor().see(idA)).agent.is, "absent");
    for (let time = 1; time <= 2; time++) {
      await actor().perform({ kind: "ensureAgentLink", vmId: idA });
      assert.equal((await actor().see(idA)).agent.is, "present");
    }
    await actor().perform({ kind: "ensureNoProcess", vmId: idA, process });
    assert.equal((await actor().see(idA)).agent.is, "absent");
    await actor().process(idA, actor().bench.address(1));
    assert.equal((await actor().see(idA)).agent.is, "absent", "the next process needs a link of its own");
  });

  test("an agent that answers wakes its VM and tells what the guest listens on", async () => {
    await assert.rejects(actor().perform({ kind: "ensureAgentLink", vmId: idA }), { code: "vm_not_running" });
    await actor().disk(idA);
    await actor().process(idA, actor().bench.address(1));
    assert.equal((await actor().see(idA)).listeners.is, "absent");
    await actor().perform({ kind: "ensureAgentLink", vmId: idA });
    const seen = await actor().seeWhen(idA, ({ listeners }) => listeners.is === "present");
    assert.equal(seen.agent.is === "present" && seen.agent.answering, true);
    assert.deepEqual(seen.listeners.is === "present" && seen.listeners.list.map(({ port }) => port), [22]);
  });

  test("ensureShutdownAsked can run twice, and without a process there is nobody to ask", async () => {
    await actor().disk(idA);
    await actor().process(idA, actor().bench.address(1));
    for (const vmId of [idA, idA, idB]) await actor().perform({ kind: "ensureShutdownAsked", vmId });
  });
}

function endContract(actor: () => Actor): void {
  test("ensureNoProcess ends exactly the process that it names, and a second time is success", async () => {
    await actor().disk(idA);
    const process = await actor().process(idA, actor().bench.address(1));
    const other = { pid: process.pid, startTime: String(Number(process.startTime) + 1) };
    await actor().perform({ kind: "ensureNoProcess", vmId: idA, process: other });
    assert.equal((await actor().see(idA)).process.is, "present");
    await actor().perform({ kind: "ensureNoProcess", vmId: idB, process });
    assert.equal((await actor().see(idA)).process.is, "present");
    for (let time = 1; time <= 2; time++) {
      await actor().perform({ kind: "ensureNoProcess", vmId: idA, process });
      const seen = await actor().see(idA);
      assert.equal(seen.process.is, "absent");
      assert.equal(seen.exit?.reason, "asked");
      assert.equal(seen.rootDisk.is, "present");
    }
  });

  test("a process killed from outside wakes the VM and is told as lost", async () => {
    await actor().disk(idA);
    const process = await actor().process(idA, actor().bench.address(1));
    const gone = actor().seeWhen(idA, (seen) => seen.process.is === "absent");
    actor().bench.killProcess(process);
    const seen = await gone;
    assert.equal(seen.exit?.reason, "lost");
    assert.match(seen.exit?.detail ?? "", /SIGKILL/);
  });

  test("a process that an earlier daemon started is missed just the same", async () => {
    await actor().disk(idA);
    const process = await actor().process(idA, actor().bench.address(1));
    await actor().bench.restart();
    await actor().seeWhen(idA, (seen) => seen.process.is === "present");
    const gone = actor().seeWhen(idA, (seen) => seen.process.is === "absent");
    actor().bench.killProcess(process);
    assert.equal((await gone).exit?.reason, "lost");
  });

  test("after an end the process can be started again", async () => {
    await actor().disk(idA);
    const process = await actor().process(idA, actor().bench.address(1));
    await actor().perform({ kind: "ensureNoProcess", vmId: idA, process });
    const again = await actor().process(idA, actor().bench.address(1));
    assert.notDeepEqual(again, process);
    assert.equal((await actor().see(idA)).exit, undefined);
  });
}

function imageContract(actor: () => Actor): void {
  test("ensureImage builds an image whole; ensureNoImage leaves nothing; both can run twice", async () => {
    const { id: imageId, name } = actor().bench.buildableImage;
    for (let time = 1; time <= 2; time++) {
      await actor().perform({ kind: "ensureImage", imageId, name, source: { kind: "catalog" } });
      const seen = await actor().seeImage(imageId);
      assert.deepEqual([seen.image.is, seen.partial.is], ["present", "absent"]);
    }
    actor().bench.abandonBuild(imageId);
    for (let time = 1; time <= 2; time++) {
      await actor().perform({ kind: "ensureNoImage", imageId });
      const seen = await actor().seeImage(imageId);
      assert.deepEqual([seen.image.is, seen.partial.is], ["absent", "absent"]);
    }
  });

  test("a half-built image is seen as such, and ensureNoPartialImage removes it and nothing else", async () => {
    const { readyImage } = actor().bench;
    actor().bench.abandonBuild(readyImage);
    const seen = await actor().seeImage(readyImage);
    assert.deepEqual(seen.partial, { is: "present", building: false });
    for (let time = 1; time <= 2; time++) {
      await actor().perform({ kind: "ensureNoPartialImage", imageId: readyImage });
      const left = await actor().seeImage(readyImage);
      assert.deepEqual([left.image.is, left.partial.is], ["present", "absent"]);
    }
  });
}
