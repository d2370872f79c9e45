/** What a daemon in somebody else's hands could put where the helper takes a VM's disks from; loops are real. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chownSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { dirname } from "node:path";
import { describe, test } from "node:test";
import { Worker } from "node:worker_threads";
import { ensureDevice } from "../../helper/devices/ensure.js";
import { boundLoops } from "../../helper/devices/loop.js";
import { Refusal } from "../../helper/refusal.js";
import { type DevicePlace, devicePlace, imageId, ownFile } from "./device-place.js";
import { needsLoops } from "./dmsetup-double.js";

const ensure = ({ vmId, context, double }: DevicePlace, id = imageId) =>
  ensureDevice(vmId, id, context, double.host);

/** A file of root's beside the owner's, as /etc/shadow might be. */
function secretIn({ top }: DevicePlace): string {
  const path = `${top}/secret`;
  ownFile(path, Buffer.alloc(65_536, "secret"));
  chownSync(path, 0, 0);
  return path;
}

/** Who owns what, and what is in it: of all of a tree but the double's own files. */
const picture = ({ top }: DevicePlace): string =>
  execFileSync(
    "sh",
    ["-c", "find state data secret -printf '%p %y %U %G %m %n %s %l\n' | sort; md5sum secret"],
    {
      cwd: top,
      encoding: "utf8",
    },
  );

const hostile: Record<string, { rule: string; set(place: DevicePlace, secret: string): void }> = {
  "root.cow is a symlink": {
    rule: "no-symlink",
    set: ({ cow }, secret) => {
      rmSync(cow);
      symlinkSync(secret, cow);
    },
  },
  "root.cow is a symlink to a disk": {
    rule: "no-symlink",
    set: ({ cow }) => {
      rmSync(cow);
      symlinkSync("/dev/loop0", cow);
    },
  },
  "the VM's directory is a symlink": {
    rule: "no-symlink",
    set: ({ cow, top }) => {
      renameSync(dirname(cow), `${top}/state/elsewhere`);
      symlinkSync(`${top}/state/elsewhere`, dirname(cow));
    },
  },
  "root.cow is a FIFO": {
    rule: "regular-file",
    set: ({ cow }) => {
      rmSync(cow);
      execFileSync("mkfifo", [cow]);
      chownSync(cow, 4242, 4243);
    },
  },
  "root.cow is a directory": {
    rule: "EISDIR",
    set: ({ cow }) => {
      rmSync(cow);
      mkdirSync(cow);
    },
  },
  "root.cow is a device": {
    rule: "regular-file",
    set: ({ cow }) => {
      rmSync(cow);
      execFileSync("mknod", [cow, "c", "1", "3"]);
      chownSync(cow, 4242, 4243);
    },
  },
  "root.cow is another name of a file of root's": {
    rule: "file-owner",
    set: ({ cow }, secret) => {
      rmSync(cow);
      linkSync(secret, cow);
    },
  },
  "root.cow is root's": { rule: "file-owner", set: ({ cow }) => chownSync(cow, 0, 0) },
  "root.cow is a third person's": { rule: "file-owner", set: ({ cow }) => chownSync(cow, 777, 4243) },
  "root.cow has a second name": { rule: "file-links", set: ({ cow }) => linkSync(cow, `${cow}.2`) },
  "root.cow is not there": { rule: "ENOENT", set: ({ cow }) => rmSync(cow) },
  "the image is a symlink": {
    rule: "no-symlink",
    set: ({ rootfs }, secret) => {
      rmSync(rootfs);
      symlinkSync(secret, rootfs);
    },
  },
  "the image is another name of a file of root's": {
    rule: "file-owner",
    set: ({ rootfs }, secret) => {
      rmSync(rootfs);
      linkSync(secret, rootfs);
    },
  },
};

const ruleOf = (error: unknown): unknown =>
  error instanceof Refusal ? error.rule : (error as NodeJS.ErrnoException).code;

describe("no root device is made, and nothing changes, when", { skip: needsLoops }, () => {
  for (const [name, { rule, set }] of Object.entries(hostile)) {
    test(name, async (t) => {
      const place = devicePlace(t);
      set(place, secretIn(place));
      const before = picture(place);
      await assert.rejects(ensure(place), (error) => ruleOf(error) === rule);
      assert.equal(picture(place), before);
      assert.deepEqual(place.loops(), []);
      assert.deepEqual([...place.double.tables], []);
    });
  }

  test("an id has a path in it", async (t) => {
    const place = devicePlace(t);
    for (const id of ["../../secret", "a/../../../secret", "/dev/sda1", ".."]) {
      await assert.rejects(ensure(place, id), (error) =>
        ["normal-path", "ENOENT"].includes(String(ruleOf(error))),
      );
      await assert.rejects(ensure({ ...place, vmId: id }), (error) =>
        ["normal-path", "ENOENT"].includes(String(ruleOf(error))),
      );
    }
    assert.deepEqual(place.loops(), []);
  });
});

/** Puts a symlink to the second path, then a regular file, at the first, over and over, until it is told to stop. */
const swapper = `
  const { renameSync, symlinkSync, writeFileSync, chownSync, rmSync } = require("node:fs");
  const { parentPort, workerData: { at, secret, stop } } = require("node:worker_threads");
  writeFileSync(at + ".file", Buffer.alloc(65536)); chownSync(at + ".file", 4242, 4243);
  parentPort.postMessage("begun");
  while (Atomics.load(stop, 0) === 0) {
    symlinkSync(secret, at + ".link");
    renameSync(at, at + ".kept"); renameSync(at + ".link", at);
    rmSync(at); renameSync(at + ".kept", at);
  }
`;

test("a symlink swapped in during the call leads nowhere", { skip: needsLoops }, async (t) => {
  const place = devicePlace(t);
  const secret = secretIn(place);
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(swapper, { eval: true, workerData: { at: place.cow, secret, stop } });
  const ended = new Promise((resolve) => worker.once("exit", resolve));
  await new Promise((resolve) => worker.once("message", resolve));
  const { ino } = statSync(secret, { bigint: true });
  const seen = new Set<string>();
  place.double.onCreate = () => {
    seen.add("made");
    for (const { inode } of boundLoops()) assert.notEqual(inode, ino);
    throw new Error("enough was seen");
  };
  for (let round = 0; round < 300; round++) {
    const error: unknown = await ensure(place).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    seen.add(String(ruleOf(error)));
  }
  Atomics.store(stop, 0, 1);
  await ended;
  const allowed = new Set(["made", "undefined", "no-symlink", "ENOENT"]);
  assert.deepEqual(
    [...seen].filter((each) => !allowed.has(each)),
    [],
  );
  assert.equal(readFileSync(secret, "utf8").slice(0, 6), "secret");
  assert.equal(statSync(secret).uid, 0);
  assert.deepEqual(place.loops(), []);
});
