/** What every world of user mode must do to forward ports. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Effect, Forward, VmId } from "../../src/model/model.js";
import type { Actor } from "./actor.js";

export function forwardContract(actor: () => Actor, idA: VmId, idB: VmId): void {
  const forwardsOf = async (vmId: VmId) => {
    const { forwards } = await actor().see(vmId);
    assert.equal(forwards.is, "present");
    return forwards.is === "present" ? forwards.list : [];
  };

  test("ensureForward forwards a port once; ensureNoForward takes it away; both can run twice", async () => {
    const address = actor().bench.address(1);
    await actor().disk(idA);
    await actor().process(idA, address);
    assert.deepEqual(await forwardsOf(idA), []);
    const there: Effect = { kind: "ensureForward", vmId: idA, address, guestPort: 8080 };
    for (let time = 1; time <= 2; time++) {
      await actor().perform(there);
      const list = await forwardsOf(idA);
      assert.deepEqual(
        list.map(({ guestPort }) => guestPort),
        [8080],
      );
    }
    const hostPort = (await forwardsOf(idA))[0]?.hostPort ?? 0;
    for (let time = 1; time <= 2; time++) {
      await actor().perform({ kind: "ensureNoForward", vmId: idA, address, guestPort: 8080, hostPort });
      assert.deepEqual(await forwardsOf(idA), []);
    }
  });

  test("two VMs forward the same port, each on its own address", async () => {
    for (const [n, vmId] of [idA, idB].entries()) {
      await actor().disk(vmId);
      const address = actor().bench.address(n + 1);
      await actor().process(vmId, address);
      await actor().perform({ kind: "ensureForward", vmId, address, guestPort: 8080 });
    }
    for (const vmId of [idA, idB]) assert.equal((await forwardsOf(vmId))[0]?.hostPort, 8080);
  });

  test("without a process there is nothing to forward to", async () => {
    const effect: Effect = {
      kind: "ensureForward",
      vmId: idA,
      address: actor().bench.address(1),
      guestPort: 80,
    };
    await assert.rejects(actor().perform(effect));
    await actor().perform({ ...effect, kind: "ensureNoForward", hostPort: 80 });
    assert.equal((await actor().see(idA)).forwards.is, "absent");
  });
  loopbackContract(actor, forwardsOf, idA);
}

function loopbackContract(
  actor: () => Actor,
  forwardsOf: (vmId: VmId) => Promise<readonly Forward[]>,
  idA: VmId,
): void {
  test("a server on the guest's loopback is forwarded through its agent, until its VM or the daemon ends", async () => {
    const address = actor().bench.address(1);
    const effect = { vmId: idA, address, guestPort: 8081, loopback: "127.0.0.1" };
    await assert.rejects(actor().perform({ kind: "ensureForward", ...effect }), { code: "vm_not_running" });
    const runs = async () => {
      await actor().perform({ kind: "ensureAgentLink", vmId: idA });
      await actor().seeWhen(
        idA,
        ({ forwards, agent }) => agent.is === "present" && agent.answering && forwards.is === "present",
      );
      for (let time = 1; time <= 2; time++) await actor().perform({ kind: "ensureForward", ...effect });
      const list = await forwardsOf(idA);
      assert.deepEqual(
        list.map(({ guestPort, loopback }) => [guestPort, loopback]),
        [[8081, "127.0.0.1"]],
      );
      const hostPort = list[0]?.hostPort ?? 0;
      await actor().bench.echoes?.(address, hostPort);
      return hostPort;
    };
    await actor().disk(idA);
    const process = await actor().process(idA, address);
    await runs();
    await actor().bench.restart();
    await actor().seeWhen(idA, ({ forwards }) => forwards.is === "present");
    assert.deepEqual(await forwardsOf(idA), []);
    const hostPort = await runs();
    for (let time = 1; time <= 2; time++) {
      await actor().perform({ kind: "ensureNoForward", ...effect, hostPort });
      assert.deepEqual(await forwardsOf(idA), []);
    }
    await runs();
    await actor().perform({ kind: "ensureNoProcess", vmId: idA, process });
    await actor().process(idA, address);
    assert.deepEqual(await forwardsOf(idA), []);
  });
}
