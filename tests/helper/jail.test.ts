/** Starting, signalling and removing a jailed VMM, with a double of jailer and Firecracker that confines as they do. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { lookAtDevices } from "../../helper/look-devices.js";
import { ensureNoJail } from "../../helper/methods/ensure-no-jail.js";
import { signalVmm } from "../../helper/methods/signal-vmm.js";
import { startVmm } from "../../helper/methods/start-vmm.js";
import { HostFailure, Refusal } from "../../helper/refusal.js";
import { imageHandles } from "../../src/handles.js";
import { imageId, owner, ownFile } from "./device-place.js";
import {
  ended,
  initrd,
  installDouble,
  type JailPlace,
  jailPlace,
  needsJail,
  processesOf,
} from "./jail-place.js";

const build = mkdtempSync(join(tmpdir(), "banger-double-"));
after(() => rmSync(build, { recursive: true }));

function place(t: { after: (done: () => unknown) => void }): JailPlace {
  const made = jailPlace(t);
  installDouble(join(build, "double"), made);
  return made;
}

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
    const here = place(t);
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

  test("is in a group of its own where there is cgroup v2", async (t) => {
    const here = place(t);
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

  test("that runs is neither started again nor robbed of its jail", async (t) => {
    const here = place(t);
    const vmm = await start(here);
    await assert.rejects(start(here), refusedBy("vmm-runs"));
    await assert.rejects(removeJail(here), refusedBy("vmm-runs"));
    assert.deepEqual(processesOf(here.handles), [vmm.pid]);
    assert.ok(existsSync(here.handles.firecrackerSocket));
  });

  test("starts in a clean jail, whatever an earlier one has left", async (t) => {
    const here = place(t);
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
    const here = place(t);
    ownFile(here.handles.consoleLog, "before\n");
    await start(here);
    assert.match(readFileSync(here.handles.consoleLog, "utf8"), /^before\n\/kernel /);
  });

  test("that ends at once says why, and leaves nothing", async (t) => {
    const here = place(t);
    ownFile(here.handles.seed, "dies");
    await assert.rejects(start(here), (error) => {
      assert.ok(error instanceof HostFailure);
      assert.deepEqual([error.code, error.message], ["vmm_failed", "double: it cannot go on"]);
      return true;
    });
    await assertGone(here);
  });

  test("that does not listen in time is ended, and leaves nothing", async (t) => {
    const here = place(t);
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

  test("is not started by a jailer that fails", async (t) => {
    const here = place(t);
    rmSync(`${here.top}/bin/jailer`);
    execFileSync("cp", ["/usr/bin/false", `${here.top}/bin/jailer`]);
    await assert.rejects(start(here), (error) => error instanceof HostFailure && error.code === "vmm_failed");
    await assertGone(here);
  });
});

const image = ({ context }: JailPlace) => imageHandles(context.metadata.home, imageId);

const hostile: Record<string, { rule: string; set(place: JailPlace): void }> = {
  "there is no Firecracker": {
    rule: "vmm_missing",
    set: ({ context }) => (context.metadata.firecracker = null),
  },
  "there is no jailer": { rule: "vmm_missing", set: ({ context }) => (context.metadata.jailer = null) },
  "Firecracker has another name": {
    rule: "vmm_missing",
    set: ({ context }) => (context.metadata.firecracker = "/usr/bin/true"),
  },
  "others may write to jailer": {
    rule: "root-writable",
    set: ({ top }) => chmodSync(`${top}/bin/jailer`, 0o777),
  },
  "Firecracker is the owner's": {
    rule: "root-owned",
    set: ({ top }) => chownSync(`${top}/bin/firecracker`, owner.uid, owner.gid),
  },
  "the work disk is a symlink": {
    rule: "no-symlink",
    set: ({ handles, secret }) => {
      rmSync(handles.workDisk);
      symlinkSync(secret, handles.workDisk);
    },
  },
  "the work disk is another name of root's file": {
    rule: "file-owner",
    set: ({ handles, secret }) => {
      rmSync(handles.workDisk);
      linkSync(secret, handles.workDisk);
    },
  },
  "the root disk has two names": {
    rule: "file-links",
    set: ({ handles }) => linkSync(handles.rootFile, `${handles.rootFile}.2`),
  },
  "the seed is a FIFO": {
    rule: "regular-file",
    set: ({ handles }) => {
      rmSync(handles.seed);
      execFileSync("mkfifo", [handles.seed]);
    },
  },
  "the kernel is another's": { rule: "file-owner", set: (here) => chownSync(image(here).kernel, 777, 777) },
  "the image is elsewhere": {
    rule: "no-symlink",
    set: (here) => {
      renameSync(image(here).directory, `${here.top}/elsewhere`);
      symlinkSync(`${here.top}/elsewhere`, image(here).directory);
    },
  },
  "there is no initrd": { rule: "ENOENT", set: (here) => rmSync(`${image(here).directory}/${initrd}`) },
  "the console's log is a symlink": {
    rule: "no-symlink",
    set: ({ handles, secret }) => symlinkSync(secret, handles.consoleLog),
  },
  "the console's log is another name of root's file": {
    rule: "file-owner",
    set: ({ handles, secret }) => linkSync(secret, handles.consoleLog),
  },
  "the VMM's log leads to a file that is not there": {
    rule: "no-symlink",
    set: ({ handles, top }) => symlinkSync(`${top}/made`, handles.vmmLog),
  },
  "the directory of the jails is the owner's": {
    rule: "root-owned",
    set: ({ top }) => {
      mkdirSync(`${top}/jails`);
      chownSync(`${top}/jails`, owner.uid, owner.gid);
    },
  },
  "the directory of the jails is a symlink": {
    rule: "no-symlink",
    set: ({ top }) => {
      mkdirSync(`${top}/other`);
      symlinkSync(`${top}/other`, `${top}/jails`);
    },
  },
};

/** Everything but the logs, which may have been begun. */
const picture = ({ top }: JailPlace): string =>
  execFileSync("find", [top, "!", "-name", "*.log", "-printf", "%p %y %U %G %m %n %s %l\n"], {
    encoding: "utf8",
  })
    .replace(/^(.*\/vms\/[0-9a-f]{8}) .*$/m, "$1")
    .split("\n")
    .sort()
    .join("\n");

describe("no VMM is started, and nothing changes, when", { skip: needsJail }, () => {
  for (const [name, { rule, set }] of Object.entries(hostile)) {
    test(name, async (t) => {
      const here = place(t);
      set(here);
      const before = picture(here);
      const text = readFileSync(here.secret, "utf8");
      await assert.rejects(start(here), (error) => {
        const { code, rule: found } = error as { code?: string; rule?: string };
        assert.equal(found ?? code, rule, String(error));
        return true;
      });
      assert.equal(picture(here), before);
      assert.equal(readFileSync(here.secret, "utf8"), text);
      assert.deepEqual(processesOf(here.handles), []);
    });
  }
});
