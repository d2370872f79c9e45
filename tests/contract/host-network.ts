/** What every world of system mode must do with what all VMs share: the bridge, the pool of taps, the resolver's routing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Effect, VmId } from "../../src/model/model.js";
import type { Actor, HelperBench } from "./actor.js";

export function hostNetworkContract(actor: () => Actor, vmId: VmId): void {
  const perform = (effect: Effect) => actor().perform(effect);
  const see = async () => (await actor().bench.world.observe()).network;
  const helper = () => actor().bench.helper as HelperBench;
  const poolSize = async () => {
    const { tapPool } = await see();
    return tapPool.is === "present" ? tapPool.size : tapPool.is;
  };

  test("a look at a host without a bridge makes none, and nothing else", async () => {
    helper().deleteBridge();
    const before = helper().show();
    for (let time = 1; time <= 3; time++) assert.equal((await see()).bridge.is, "absent");
    assert.equal((await actor().see(vmId)).bridge.is, "absent");
    assert.deepEqual(helper().show(), before);
    const address = actor().bench.address(1);
    await assert.rejects(perform({ kind: "ensureNetwork", vmId, address }), { retry: "later" });
    await assert.rejects(perform({ kind: "ensureTapPool", size: 1 }), { retry: "later" });
    assert.equal((await see()).bridge.is, "absent");
  });

  test("ensureBridge makes it whole, and mends one that lacks its rules; a second time is success", async () => {
    for (const harm of [helper().deleteBridge, helper().flushFirewall]) {
      harm();
      assert.equal((await see()).bridge.is, "absent");
      for (let time = 1; time <= 2; time++) {
        await perform({ kind: "ensureBridge" });
        assert.equal((await see()).bridge.is, "present");
        assert.equal((await actor().see(vmId)).bridge.is, "present");
      }
    }
  });

  test("ensureTapPool makes so many taps, and no more; a VM takes one of them", async () => {
    await perform({ kind: "ensureBridge" });
    for (const size of [2, 2, 3, 1]) {
      await perform({ kind: "ensureTapPool", size });
      assert.equal(await poolSize(), size);
    }
    await perform({ kind: "ensureNetwork", vmId, address: actor().bench.address(1) });
    assert.equal(await poolSize(), 0);
    assert.equal((await actor().see(vmId)).network.is, "present");
  });

  test("ensureResolver is seen, where there is a resolver that can be told, and success all the same", async () => {
    await perform({ kind: "ensureBridge" });
    for (let time = 1; time <= 2; time++) {
      await perform({ kind: "ensureResolver", port: 42_069 });
      const { resolver } = await see();
      assert.ok(resolver.is === "absent" || (resolver.is === "present" && resolver.port === 42_069));
    }
  });

  test("all of it outlives the daemon, and is unknown while no helper answers", async () => {
    await perform({ kind: "ensureBridge" });
    await perform({ kind: "ensureTapPool", size: 2 });
    const before = await see();
    await actor().bench.restart();
    assert.deepEqual(await see(), before);
    const back = await helper().leave();
    try {
      const { bridge, tapPool, resolver } = await see();
      assert.deepEqual([bridge.is, tapPool.is, resolver.is], Array(3).fill("unknown"));
      await assert.rejects(perform({ kind: "ensureBridge" }), { retry: "later" });
    } finally {
      await back();
    }
    await perform({ kind: "ensureTapPool", size: 0 });
  });
}
