/** The Firecracker driver, around a double of Firecracker whose guest is a real agent. */
import assert from "node:assert/strict";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { VmmControls } from "../../src/effects/vmm/controls.js";
import { type VmmDriver, vmmDriver } from "../../src/effects/vmm/driver.js";
import { firecrackerVmm } from "../../src/effects/vmm/firecracker/firecracker.js";
import { firecrackerSigns } from "../../src/effects/vmm/firecracker/signs.js";
import { findVmm as find } from "../../src/effects/vmm/processes.js";
import type { EnsureProcess, Vmm } from "../../src/effects/vmm/vmm.js";
import { AgentClient } from "../../src/guest/agent.js";
import { type Home, vmHandles } from "../../src/home/handles.js";
import { systemClock } from "../../src/lib/clock.js";
import { BangerError } from "../../src/lib/errors.js";
import { publicNet } from "../../src/model/net-policy.js";
import { unchecked } from "../doubles/firecracker-api-check.js";
import { type JailHelper, jailHelper } from "../doubles/jail-helper.js";
import { eventually, run } from "./agent-process.js";

const id = "0123abcd";
const effect: EnsureProcess = {
  kind: "ensureProcess",
  vmId: id,
  imageId: "debian-slim-00000000",
  name: "calm-otter",
  spec: { vcpu: 1, memoryMiB: 128, diskMiB: 64, net: publicNet },
  address: "172.16.0.2",
};
const network = { prefixLength: 24, gateway: "172.16.0.1", dns: "1.1.1.1" };
const findVmm = (home: Home) => find(home, [firecrackerSigns], id);
const never = new AbortController().signal;

interface Daemon {
  controls: VmmControls;
  driver: VmmDriver;
}

describe("Firecracker", () => {
  let keepAlive: NodeJS.Timeout;
  let root: string;
  let home: Home;
  let helper: JailHelper;
  let daemon: Daemon;
  // A VMM outlives its daemon, so waiting for one does not keep this process alive.
  before(() => {
    keepAlive = setInterval(() => {}, 1_000);
  });
  after(() => clearInterval(keepAlive));

  /** A daemon as it is after its start: it has seen what runs. */
  function startDaemon(mode: "user" | "system" = "system"): Daemon {
    const controls = new VmmControls(systemClock, () => {});
    const firecracker = firecrackerVmm({
      home,
      clock: systemClock,
      prepare: async () => ({
        kernel: "",
        initrd: "/i/initrd-0123456789abcdef.cpio",
        bootArguments: "audit=0",
      }),
      config: { rateLimits: { diskMiB: 10, diskOperations: null, networkMiB: 5 } },
      system: mode === "user" ? undefined : { helper, rootDisk: "file", network },
    });
    const askGuest = () => Promise.reject(new BangerError("agent_unreachable", "no guest"));
    const driver = vmmDriver({ home, controls, vmms: [firecracker], starts: firecracker, askGuest });
    const found = findVmm(home);
    if (found !== undefined) controls.attach(id, { ...found, vmm: firecracker });
    return { controls, driver };
  }

  beforeEach(() => {
    root = mkdtempSync(`${tmpdir()}/banger-fc-`);
    home = { state: `${root}/state`, data: "", cache: "", config: "", runtime: `${root}/run` };
    const { directory, runtime, vmmLog, workDisk, seed, rootFile } = vmHandles(home, id);
    for (const path of [directory, runtime]) mkdirSync(path, { recursive: true });
    for (const path of [vmmLog, workDisk, seed, rootFile]) writeFileSync(path, "");
    helper = jailHelper(home);
    daemon = startDaemon();
  });
  afterEach(() => {
    daemon.controls.close();
    helper.close();
    rmSync(root, { recursive: true, force: true });
  });

  const identity = () => {
    const found = findVmm(home);
    assert.notEqual(found, undefined);
    return found as NonNullable<typeof found>;
  };
  const ended = () =>
    eventually(async () => (daemon.controls.isHeld(id) ? undefined : (daemon.controls.exit(id) ?? "unseen")));
  const guestBecomes = (state: string) =>
    eventually(async () => (daemon.controls.guest(id) === state ? true : undefined));

  test("it is started once, its guest's agent answers, and it is killed", async (t) => {
    t.diagnostic(unchecked ?? "each request was checked against the published API");
    await daemon.driver.ensureProcess(effect, never);
    assert.equal(daemon.controls.guest(id), "runs");
    const first = identity();
    await daemon.driver.ensureProcess(effect, never);
    assert.deepEqual(identity(), first);
    const line = await daemon.controls.dial(id, never);
    const client = new AgentClient(() => line.open());
    assert.equal((await client.health()).status, "ok");
    const { stdout, result } = await run(client, { argv: ["echo", "through"] });
    assert.deepEqual([stdout, result], ["through\n", { code: 0 }]);
    await assert.rejects(daemon.driver.ensureNoRuntime(id, never), { code: "vm_runs" });
    await daemon.driver.ensureNoProcess(id, first, never);
    await line.closed;
    assert.equal(findVmm(home), undefined);
    assert.equal(daemon.controls.exit(id)?.reason, "asked");
    await daemon.driver.ensureNoProcess(id, first, never);
    await daemon.driver.ensureNoRuntime(id, never);
    const { jail, runtime } = vmHandles(home, id);
    assert.deepEqual([existsSync(jail), existsSync(runtime)], [false, false]);
  });

  test("a guest that does not hear its agent is asked by Ctrl-Alt-Del", async () => {
    await daemon.driver.ensureShutdownAsked(id, never);
    await daemon.driver.ensureProcess(effect, never);
    await daemon.driver.ensureShutdownAsked(id, never);
    const exit = await ended();
    assert.deepEqual(exit, { reason: "reboot", detail: "the guest rebooted" });
  });

  test("one that is killed from outside is lost", async () => {
    await daemon.driver.ensureProcess(effect, never);
    process.kill(identity().pid, "SIGKILL");
    assert.equal(((await ended()) as { reason: string }).reason, "lost");
  });

  for (const harm of ["refuse:/vsock", "refuse:/actions", "die:/balloon"])
    test(`nothing runs after a start that fails: ${harm}`, async () => {
      helper.harm = harm;
      await assert.rejects(daemon.driver.ensureProcess(effect, never), (error: BangerError) => {
        assert.equal(error.code, harm.startsWith("die") ? "kvm_unusable" : "firecracker_refused");
        return true;
      });
      assert.equal(findVmm(home), undefined);
      await ended();
    });

  test("nothing runs after a start that is given up", async () => {
    helper.harm = "answer:/entropy";
    const stop = new AbortController();
    const start = daemon.driver.ensureProcess(effect, stop.signal);
    start.catch(() => {});
    await eventually(async () => {
      const log = readFileSync(vmHandles(home, id).vmmLog, "utf8");
      return log.includes("/entropy") ? true : undefined;
    });
    stop.abort(new Error("no longer wanted"));
    await assert.rejects(start, { message: /no longer wanted/ });
    assert.equal(findVmm(home), undefined);
  });

  test("a daemon that comes later finds a guest that runs, and its own of one that was never started", async () => {
    await daemon.driver.ensureProcess(effect, never);
    daemon.controls.close();
    daemon = startDaemon();
    assert.equal(daemon.controls.guest(id), "unasked");
    await guestBecomes("runs");
    await daemon.driver.ensureNoProcess(id, identity(), never);
    // The earlier daemon died between having it jailed and telling it what to run.
    daemon.controls.close();
    const { pid, startTime } = await helper.call(
      "startVmm",
      { vmId: id, imageId: effect.imageId, initrd: "", rootDisk: "file", vcpu: 1, memoryMiB: 128 },
      never,
    );
    daemon = startDaemon();
    await guestBecomes("idle");
    await daemon.driver.ensureNoProcess(id, { pid, startTime }, never);
    assert.equal(findVmm(home), undefined);
    await daemon.driver.ensureProcess(effect, never);
    await guestBecomes("runs");
  });

  test("a guest that powers itself off leaves a Firecracker that is of no use", async () => {
    await daemon.driver.ensureProcess(effect, never);
    appendFileSync(vmHandles(home, id).consoleLog, "[    3.141592] reboot: System halted\n");
    await guestBecomes("idle");
    await daemon.driver.ensureNoProcess(id, identity(), never);
    assert.deepEqual(daemon.controls.exit(id), { reason: "guest", detail: "the guest powered off" });
  });

  test("user mode follows one that system mode left, and says that it can neither start nor end any", async () => {
    await daemon.driver.ensureProcess(effect, never);
    daemon.controls.close();
    daemon = startDaemon("user");
    await guestBecomes("runs");
    helper.called.length = 0;
    await assert.rejects(daemon.driver.ensureNoProcess(id, identity(), never), { code: "other_vmm" });
    process.kill(identity().pid, "SIGKILL");
    await ended();
    await assert.rejects(daemon.driver.ensureProcess(effect, never), { code: "vmm_unusable" });
    await daemon.driver.ensureNoRuntime(id, never);
    assert.deepEqual(helper.called, []);
  });

  test("a disk that grows is told to the guest", async () => {
    await daemon.driver.ensureProcess(effect, never);
    const control = daemon.controls.require(id);
    await control.resize("work", 1 << 20);
    assert.equal(statSync(vmHandles(home, id).workDisk).size, 1 << 20);
    assert.match(readFileSync(vmHandles(home, id).vmmLog, "utf8"), /PATCH \/drives\/work/);
    assert.equal(control.disks.work, "vdb");
    await assert.rejects(control.resize("root", 1 << 30), { code: "root_size_unsupported" });
  });
});
