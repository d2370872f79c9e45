/** Starting, signalling and removing a jailed VMM, with a double of jailer and Firecracker that confines as they do. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chownSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { describe, test } from "node:test";
import { attachLoop } from "../../helper/devices/loop.js";
import { giveNode } from "../../helper/devices/mapper.js";
import { enterJail } from "../../helper/jail/enter.js";
import type { Part } from "../../helper/jail/parts.js";
import { startJailed } from "../../helper/jail/start.js";
import { lookAtDevices } from "../../helper/look-devices.js";
import { ensureNoJail } from "../../helper/methods/ensure-no-jail.js";
import { signalVmm } from "../../helper/methods/signal-vmm.js";
import { startVmm } from "../../helper/methods/start-vmm.js";
import { HostFailure, Refusal } from "../../helper/refusal.js";
import { owner, ownFile } from "./device-place.js";
import { dmsetupDouble } from "./dmsetup-double.js";
import { doubledPlace, ended, type JailPlace, needsJail, processesOf } from "./jail-place.js";

const refusedBy = (rule: string) => (error: unknown) => error instanceof Refusal && error.rule === rule;
const mounts = () => readFileSync("/proc/self/mountinfo", "utf8");
const start = ({ params, context }: JailPlace) => startVmm(params, context);
const endVmm = ({ vmId, context }: JailPlace, vmm: { pid: number; startTime: string }) =>
  signalVmm({ vmId, ...vmm, signal: "SIGKILL" }, context);
const removeJail = ({ vmId, context }: JailPlace) => ensureNoJail({ vmId }, context);

/** Nothing is left of the VM but its own files. */
async function assertGone({ handles, context }: JailPlace): Promise<void> {
  assert.deepEqual(processesOf(handles), []);
  assert.ok(!existsSync(handles.jail));
  assert.deepEqual((await lookAtDevices(context)).jails, { ids: [] });
  const groups = execFileSync("find", ["/sys/fs/cgroup", "-name", handles.jailId], { encoding: "utf8" });
  assert.equal(groups, "");
}

describe("a VMM", { skip: needsJail }, () => {
  test("runs as the owner in its jail, sees the VM's files, and can write to the VM's own alone", async (t) => {
    const here = doubledPlace(t);
    const { handles, vmId, context } = here;
    const before = mounts();
    const { pid, startTime } = await start(here);
    assert.equal(readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ")[19], startTime);
    assert.equal(statSync(`/proc/${pid}/root`).ino, statSync(handles.jailRoot).ino);
    assert.ok(lstatSync(handles.firecrackerSocket).isSocket());
    const said = readFileSync(handles.consoleLog, "utf8").trim().split("\n");
    assert.deepEqual(said, [
      "/kernel Read-only file system",
      "/initrd Read-only file system",
      "/seed Read-only file system",
      "/work writable",
      "/root writable",
      "/vmm.log writable",
      "/root Cross-device link",
      `uid ${owner.uid} gid ${owner.gid} pid 1`,
    ]);
    for (const log of [handles.consoleLog, handles.vmmLog]) assert.equal(statSync(log).uid, owner.uid);
    assert.equal(mounts(), before, "nothing is mounted where others can see it");
    assert.equal(statSync(`${handles.jailRoot}/kernel`).size, 0);
    assert.equal(statSync(handles.workDisk).nlink, 1);
    assert.deepEqual((await lookAtDevices(context)).jails, { ids: [vmId] });
    await endVmm(here, { pid, startTime });
    await ended(handles);
    await removeJail(here);
    await assertGone(here);
    assert.equal(readFileSync(handles.workDisk, "utf8"), "work");
    await removeJail(here);
  });

  test("has its root device by the kernel's own node, which the owner cannot keep another name of", async (t) => {
    const here = doubledPlace(t);
    const { handles, context } = here;
    const { host } = dmsetupDouble(`${here.top}/double`);
    const file = openSync(handles.rootFile, "r+");
    const loop = attachLoop(file, handles.deviceName, "write");
    closeSync(file);
    t.after(() => closeSync(loop.fd));
    // The double's word for it: this device is the one of that name.
    mkdirSync(`${host.sys}/dev/block/7:${loop.number}/dm`, { recursive: true });
    ownFile(`${host.sys}/dev/block/7:${loop.number}/dm/name`, `${handles.deviceName}\n`);
    symlinkSync(`/dev/loop${loop.number}`, `${host.dev}/mapper/${handles.deviceName}`);
    const { uid, gid } = statSync(`/dev/loop${loop.number}`);
    t.after(() => chownSync(`/dev/loop${loop.number}`, uid, gid));
    giveNode(handles.deviceName, owner, host);
    const { pid } = await startJailed({ ...here.params, rootDisk: "device" }, context, host);
    const said = readFileSync(handles.consoleLog, "utf8");
    assert.match(said, /^\/root writable$/m);
    assert.match(said, /^\/root Cross-device link$/m);
    assert.equal(statSync(`/proc/${pid}/root/root`).rdev, statSync(`/dev/loop${loop.number}`).rdev);
    assert.ok(statSync(`${handles.jailRoot}/root`).isFile());
  });

  test("is in a group of its own where there is cgroup v2", async (t) => {
    const here = doubledPlace(t);
    const { pid } = await start(here);
    const group = /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, "utf8"))?.[1];
    if (/ cgroup2 /.test(readFileSync("/proc/mounts", "utf8")))
      assert.equal(group, `/banger/${here.handles.jailId}`);
    else assert.equal(group, undefined);
    process.kill(pid, "SIGKILL");
    await ended(here.handles);
    await removeJail(here);
    await assertGone(here);
  });

  test("shows nothing of its mounts even where mounts are shared, as systemd has them", (t) => {
    const here = doubledPlace(t);
    const child = new URL("./jail-started-child.js", import.meta.url).pathname;
    const argv = [
      "--mount",
      "--propagation",
      "shared",
      process.execPath,
      child,
      here.top,
      JSON.stringify(here.params),
    ];
    assert.equal(execFileSync("unshare", argv, { encoding: "utf8" }), "shared, unchanged\n");
  });

  test("that runs is neither started again nor robbed of its jail", async (t) => {
    const here = doubledPlace(t);
    const vmm = await start(here);
    await assert.rejects(start(here), refusedBy("vmm-runs"));
    await assert.rejects(removeJail(here), refusedBy("vmm-runs"));
    assert.deepEqual(processesOf(here.handles), [vmm.pid]);
    assert.ok(existsSync(here.handles.firecrackerSocket));
  });

  test("starts in a clean jail, whatever an earlier one has left", async (t) => {
    const here = doubledPlace(t);
    const { jailRoot } = here.handles;
    mkdirSync(`${jailRoot}/dev/net`, { recursive: true });
    symlinkSync(here.secret, `${jailRoot}/firecracker`);
    symlinkSync(here.secret, `${jailRoot}/work`);
    execFileSync("mkfifo", [`${jailRoot}/kernel`]);
    await start(here);
    assert.ok(!existsSync(`${jailRoot}/dev`));
    assert.equal(readFileSync(here.secret, "utf8"), "secret");
    assert.equal(statSync(here.secret).mode & 0o777, 0o600);
  });

  test("appends to the logs that are there", async (t) => {
    const here = doubledPlace(t);
    ownFile(here.handles.consoleLog, "before\n");
    await start(here);
    assert.match(readFileSync(here.handles.consoleLog, "utf8"), /^before\n\/kernel /);
  });

  test("that ends at once says why, and leaves nothing", async (t) => {
    const here = doubledPlace(t);
    ownFile(here.handles.seed, "dies");
    await assert.rejects(start(here), (error) => {
      assert.ok(error instanceof HostFailure);
      assert.deepEqual([error.code, error.message], ["vmm_failed", "double: it cannot go on"]);
      return true;
    });
    await assertGone(here);
  });

  test("that does not listen in time is doubledPlace, ended, and leaves nothing", async (t) => {
    const here = doubledPlace(t);
    ownFile(here.handles.seed, "deaf");
    const late = new AbortController();
    const starting = startVmm(here.params, { ...here.context, signal: late.signal });
    while (
      !existsSync(here.handles.consoleLog) ||
      !/pid 1/.test(readFileSync(here.handles.consoleLog, "utf8"))
    )
      await new Promise((resolve) => setImmediate(resolve));
    late.abort(new Error("too late"));
    await assert.rejects(starting, /too late/);
    await assertGone(here);
  });

  test("whose mounts cannot be made keeps no descriptor of the helper's", async (t) => {
    const here = doubledPlace(t);
    // Not the pipes and queues of a thread that is about to end.
    const open = () =>
      readdirSync("/proc/self/fd").filter((fd) => {
        try {
          return readlinkSync(`/proc/self/fd/${fd}`).startsWith("/");
        } catch {
          return false;
        }
      }).length;
    const enter = (parts: readonly Part[]) =>
      enterJail(
        { parts, root: here.top, jailer: file, argv: [], output: file },
        new AbortController().signal,
      );
    const file = openSync(here.handles.workDisk, "r");
    t.after(() => closeSync(file));
    const part = { fd: file, name: "secret", attributes: 0 };
    const wrong: Part[] = [
      { ...part, name: "not-there" },
      { ...part, fd: -1 },
      { ...part, attributes: 1 << 30 },
    ];
    const before = open();
    for (const each of wrong) await assert.rejects(enter([part, part, each]), /the jail's mounts/);
    assert.equal(open(), before);
  });

  test("is not started by a jailer that fails", async (t) => {
    const here = doubledPlace(t);
    rmSync(`${here.top}/bin/jailer`);
    execFileSync("cp", ["/usr/bin/false", `${here.top}/bin/jailer`]);
    await assert.rejects(start(here), (error) => error instanceof HostFailure && error.code === "vmm_failed");
    await assertGone(here);
  });
});
