/** A VMM of which banger knows nothing: named in one line, it is started, followed, asked and ended as all others are. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { after, before, describe, test } from "node:test";
import { chooseVmm, makeVmms } from "../../src/daemon/vmms.js";
import { VmmControls } from "../../src/effects/vmm/controls.js";
import { vmmDriver } from "../../src/effects/vmm/driver.js";
import { findVmm } from "../../src/effects/vmm/processes.js";
import type { EnsureProcess, VmmHost } from "../../src/effects/vmm/vmm.js";
import { AgentClient } from "../../src/guest/agent.js";
import { type Home, vmHandles } from "../../src/home/handles.js";
import { systemClock } from "../../src/lib/clock.js";
import { publicNet } from "../../src/model/net-policy.js";
import { stub } from "../doubles/stub/stub.js";
import { makeBench, userMode } from "./local-bench.js";
import { worldContract } from "./world.js";

/** The line. */
const kinds = [stub];

function vmmsOf(home: Home) {
  const environment = { PATH: process.env["PATH"] ?? "" };
  const host: Pick<VmmHost, "home" | "clock" | "environment"> = { home, clock: systemClock, environment };
  return makeVmms(host as VmmHost, chooseVmm("stub", undefined, kinds), kinds);
}

worldContract("this host, under a third VMM", () =>
  makeBench({
    ...userMode(),
    vmms(home, qemu) {
      const { vmms, starts } = vmmsOf(home);
      return { vmms: [...vmms, qemu], starts };
    },
  }),
);

describe("a third VMM", () => {
  const id = "0123abcd";
  const root = mkdtempSync(`${tmpdir()}/banger-third-`);
  const home: Home = { state: `${root}/s`, data: "", cache: "", config: "", runtime: `${root}/r` };
  const { signal } = new AbortController();
  const spec = { vcpu: 1, memoryMiB: 64, diskMiB: 64, net: publicNet };
  const effect: EnsureProcess = {
    kind: "ensureProcess",
    ...{ vmId: id, imageId: "debian-slim-00000000", name: "calm-otter", spec, address: "127.1.0.1" },
  };
  const controls = new VmmControls(systemClock, () => {});
  const askGuest = () => Promise.reject(new Error("its agent does not hear"));
  const { vmms, starts } = vmmsOf(home);
  const driver = vmmDriver({ home, controls, vmms, starts, askGuest });
  let keepAlive: NodeJS.Timeout;
  before(() => {
    keepAlive = setInterval(() => {}, 1_000);
    const { runtime, directory, workDisk, rootDisk } = vmHandles(home, id);
    for (const path of [runtime, directory]) mkdirSync(path, { recursive: true });
    for (const path of [workDisk, rootDisk]) writeFileSync(path, "");
  });
  after(() => {
    controls.close();
    clearInterval(keepAlive);
    rmSync(root, { recursive: true });
  });

  test("runs a guest whose agent answers, which its power button ends, and leaves nothing", async () => {
    await driver.ensureProcess(effect, signal);
    assert.equal(findVmm(home, vmms, id)?.vmm.kind, "stub");
    const line = await controls.dial(id, signal);
    assert.equal((await new AgentClient(() => line.open()).health()).status, "ok");
    const { gone } = controls.require(id);
    await driver.ensureShutdownAsked(id, signal);
    await gone;
    assert.deepEqual(controls.exit(id), { reason: "guest", detail: "the guest powered off" });
    assert.equal(findVmm(home, vmms, id), undefined);
    await driver.ensureNoRuntime(id, signal);
  });

  test("is what the configuration names, and no other where it has none of that name", () => {
    assert.equal(chooseVmm("auto", undefined, kinds), stub);
    assert.throws(() => chooseVmm("qemu", undefined, kinds), { code: "vmm_unusable" });
  });
});
