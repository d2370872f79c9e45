/** Signals reach a VM's own jailed VMM and nobody else, whatever pid and start time are asked for. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { startTimeOf } from "../../helper/jail/vmm.js";
import { signalVmm } from "../../helper/methods/signal-vmm.js";
import { startVmm } from "../../helper/methods/start-vmm.js";
import { Refusal } from "../../helper/refusal.js";
import { owner } from "./device-place.js";
import { doubledPlace, ended, type JailPlace, jailPlace, needsJail, processesOf } from "./jail-place.js";

const kill = ({ vmId, context }: JailPlace, pid: number, startTime: string, as = vmId) =>
  signalVmm({ vmId: as, pid, startTime, signal: "SIGKILL" }, context);
const refused = (error: unknown) => error instanceof Refusal && error.rule === "vmm-of-the-vm";

/** Another process, for as long as the test; it is asked for by the start time that it really has. */
async function other(
  t: { after: (done: () => void) => void },
  program: string,
  argv: readonly string[],
): Promise<{ pid: number; startTime: string; child: ChildProcess }> {
  const child = spawn(program, argv, { stdio: "ignore" });
  t.after(() => void child.kill("SIGKILL"));
  await once(child, "spawn");
  const { pid } = child;
  const startTime = startTimeOf(pid ?? 0);
  assert.ok(pid !== undefined && startTime !== undefined);
  return { pid, startTime, child };
}

const runs = (pid: number, startTime: string) => assert.equal(startTimeOf(pid), startTime, `${pid} runs on`);

describe("a signal", { skip: needsJail }, () => {
  test("ends the VM's own VMM, and one that is gone is success", async (t) => {
    const here = doubledPlace(t);
    const { pid, startTime } = await startVmm(here.params, here.context);
    await kill(here, pid, startTime);
    await ended(here.handles);
    await kill(here, pid, startTime);
  });

  test("to a pid that is another process by now is not sent: its start time tells", async (t) => {
    const here = doubledPlace(t);
    const { pid, startTime } = await startVmm(here.params, here.context);
    for (const near of [BigInt(startTime) - 1n, BigInt(startTime) + 1n]) await kill(here, pid, String(near));
    runs(pid, startTime);
    assert.deepEqual(processesOf(here.handles), [pid]);
  });

  test("to another VM's VMM is refused", async (t) => {
    const [here, there] = [doubledPlace(t), jailPlace(t)];
    const { pid, startTime } = await startVmm(here.params, here.context);
    await assert.rejects(kill(here, pid, startTime, there.vmId), refused);
    await assert.rejects(kill(there, pid, startTime, here.vmId), refused);
    runs(pid, startTime);
  });

  test("to a process that has nothing to do with it is refused", async (t) => {
    const here = jailPlace(t);
    const { pid, startTime } = await other(t, "/usr/bin/sleep", ["1000"]);
    await assert.rejects(kill(here, pid, startTime), refused);
    await assert.rejects(kill(here, process.pid, startTimeOf(process.pid) ?? ""), refused);
    runs(pid, startTime);
  });

  test("to one that is called as a VMM is refused, unless it is in the jail and nobody's but the owner's", async (t) => {
    const here = doubledPlace(t);
    const { jailRoot, jailId } = here.handles;
    mkdirSync(jailRoot, { recursive: true });
    copyFileSync(`${here.top}/bin/firecracker`, `${jailRoot}/firecracker`);
    const dressed = async (...chroot: string[]) => {
      const made = await other(t, "/usr/sbin/chroot", [...chroot, "/firecracker", "--id", jailId]);
      while (!readFileSync(`/proc/${made.pid}/cmdline`, "utf8").startsWith("/firecracker\0"))
        await new Promise((resolve) => setImmediate(resolve));
      return made;
    };
    mkdirSync(`${here.top}/elsewhere`);
    copyFileSync(`${here.top}/bin/firecracker`, `${here.top}/elsewhere/firecracker`);
    const user = `--userspec=${owner.uid}:${owner.gid}`;
    for (const wrong of [
      [user, `${here.top}/elsewhere`],
      [jailRoot],
      [`--userspec=777:${owner.gid}`, jailRoot],
    ]) {
      const { pid, startTime } = await dressed(...wrong);
      await assert.rejects(kill(here, pid, startTime), refused, wrong.join(" "));
      runs(pid, startTime);
    }
    // What makes the difference is just that.
    const { pid, startTime, child } = await dressed(user, jailRoot);
    await kill(here, pid, startTime);
    await once(child, "exit");
  });
});
