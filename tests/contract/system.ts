/** What every world of system mode must do with cards, ways out and root devices. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Effect, ObservedVm, VmId } from "../../src/model/model.js";
import { publicNet } from "../../src/model/net-policy.js";
import type { Actor, HelperBench } from "./actor.js";
import { hostNetworkContract } from "./host-network.js";

const held = ["rootDevice", "network", "policy"] as const;

const whole = { is: "present", whole: true };
const partly = { is: "present", whole: false };
const absent = { is: "absent" };

export function systemContract(actor: () => Actor, idA: VmId, idB: VmId): void {
  const hands = handsOf(actor, idA);
  cardContract(hands, idA, idB);
  damageContract(hands, idA);
  deviceContract(hands, idA, idB);
  absenceContract(hands, idA, idB);
  hostNetworkContract(actor, idA);
}

type Hands = ReturnType<typeof handsOf>;

function handsOf(actor: () => Actor, first: VmId) {
  const perform = (effect: Effect) => actor().perform(effect);
  const addressOf = (vmId: VmId) => actor().bench.address(vmId === first ? 1 : 2);
  return {
    ...{ actor, perform, addressOf },
    see: async (vmId: VmId, handle: (typeof held)[number]) => (await actor().see(vmId))[handle],
    helper: () => actor().bench.helper as HelperBench,
    tap: async (vmId: VmId) => {
      await perform({ kind: "ensureBridge" });
      await perform({ kind: "ensureNetwork", vmId, address: addressOf(vmId) });
    },
    nat: (vmId: VmId) => perform({ kind: "ensurePolicy", vmId, address: addressOf(vmId), net: publicNet }),
  };
}

function cardContract({ perform, see, tap, nat }: Hands, idA: VmId, idB: VmId): void {
  test("ensureNetwork makes a whole tap; ensureNoNetwork leaves nothing of it; both can run twice", async () => {
    for (let time = 1; time <= 2; time++) {
      await tap(idA);
      assert.deepEqual([await see(idA, "network"), await see(idB, "network")], [whole, absent]);
    }
    await tap(idB);
    for (let time = 1; time <= 2; time++) {
      await perform({ kind: "ensureNoNetwork", vmId: idA });
      assert.deepEqual([await see(idA, "network"), await see(idB, "network")], [absent, whole]);
    }
  });

  test("ensurePolicy lets one VM out; ensureNoPolicy ends that; both can run twice", async () => {
    for (const vmId of [idA, idB]) await tap(vmId);
    for (let time = 1; time <= 2; time++) {
      await nat(idA);
      assert.deepEqual([(await see(idA, "policy")).is, (await see(idB, "policy")).is], ["present", "absent"]);
    }
    await nat(idB);
    for (let time = 1; time <= 2; time++) {
      await perform({ kind: "ensureNoPolicy", vmId: idA });
      assert.deepEqual([(await see(idA, "policy")).is, (await see(idB, "policy")).is], ["absent", "present"]);
    }
    assert.deepEqual(await see(idA, "network"), whole, "the card stays");
  });
}

function damageContract({ actor, perform, addressOf, see, helper, tap, nat }: Hands, idA: VmId): void {
  test("rules that somebody took away are seen as gone, and made again under the VMM", async () => {
    await actor().disk(idA);
    const process = await actor().process(idA, addressOf(idA));
    await nat(idA);
    helper().flushFirewall();
    assert.deepEqual([await see(idA, "network"), (await see(idA, "policy")).is], [partly, "absent"]);
    await tap(idA);
    await nat(idA);
    assert.deepEqual([await see(idA, "network"), (await see(idA, "policy")).is], [whole, "present"]);
    const seen = await actor().see(idA);
    assert.equal(seen.process.is === "present" && seen.process.pid, process.pid);
  });

  test("what is left of a tap goes as a whole one does", async () => {
    await tap(idA);
    helper().flushFirewall();
    await perform({ kind: "ensureNoNetwork", vmId: idA });
    assert.deepEqual(await see(idA, "network"), absent);
  });
}

function deviceContract({ actor, perform, see, helper }: Hands, idA: VmId, idB: VmId): void {
  test("ensureRootDevice wants the file; ensureNoRootDevice leaves nothing; both can run twice", async () => {
    if (!actor().bench.world.capabilities.rootDevice) return;
    const { readyImage: imageId } = actor().bench;
    await assert.rejects(perform({ kind: "ensureRootDevice", vmId: idA, imageId }));
    assert.deepEqual(await see(idA, "rootDevice"), absent);
    for (const vmId of [idA, idB]) await actor().disk(vmId);
    for (let time = 1; time <= 2; time++) {
      await perform({ kind: "ensureRootDevice", vmId: idA, imageId });
      assert.deepEqual([await see(idA, "rootDevice"), await see(idB, "rootDevice")], [whole, absent]);
    }
    helper().breakDevice?.(idA);
    assert.deepEqual(await see(idA, "rootDevice"), partly);
    await perform({ kind: "ensureRootDevice", vmId: idA, imageId });
    assert.deepEqual(await see(idA, "rootDevice"), whole);
    for (let time = 1; time <= 2; time++) {
      await perform({ kind: "ensureNoRootDevice", vmId: idA });
      assert.deepEqual(await see(idA, "rootDevice"), absent);
    }
    helper().breakDevice?.(idB);
    await perform({ kind: "ensureNoRootDevice", vmId: idB });
    assert.deepEqual(await see(idB, "rootDevice"), absent);
  });
}

function absenceContract(hands: Hands, idA: VmId, idB: VmId): void {
  const { actor, perform, addressOf, see, helper, tap, nat } = hands;
  test("all of it outlives the daemon", async () => {
    await actor().disk(idA);
    await actor().prepare(idA, addressOf(idA));
    await nat(idA);
    const before = await actor().see(idA);
    await actor().bench.restart();
    const after = await actor().see(idA);
    for (const handle of held) assert.deepEqual(after[handle], before[handle], handle);
    assert.deepEqual(after.network, whole);
  });

  test("while no helper answers, what only it can see is unknown, and the rest is seen all the same", async () => {
    await actor().disk(idA);
    await actor().prepare(idA, addressOf(idA));
    const back = await helper().leave();
    try {
      const [there, none] = [await actor().see(idA), await actor().see(idB)];
      const of = (seen: ObservedVm) => held.map((handle) => seen[handle].is);
      assert.deepEqual([of(there), of(none)], [held.map(() => "unknown"), held.map(() => "unknown")]);
      assert.deepEqual(
        [there.directory.is, there.workDisk.is, there.process.is],
        ["present", "present", "absent"],
      );
      assert.deepEqual([there.runtime.is, none.runtime.is], ["present", "unknown"], "there may be a jail");
      await assert.rejects(tap(idA), { retry: "later" });
      await assert.rejects(perform({ kind: "ensureNoNetwork", vmId: idA }), { retry: "later" });
    } finally {
      await back();
    }
    await tap(idA);
    assert.deepEqual(await see(idA, "network"), whole);
  });
}
