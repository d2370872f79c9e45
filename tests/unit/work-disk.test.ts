/** The disk that is a VM's /root: cloned of its image's seed in any size, or made empty, and never half-made. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { ensureWorkDisk } from "../../src/effects/disk/work.js";
import { type VmHandles, vmHandles } from "../../src/home/handles.js";
import { toolRunner } from "../../src/host/run-tool.js";
import { findWorkSeed, makeWorkSeed } from "../../src/images/work-seed.js";
import type { NewEvent } from "../../src/model/events.js";
import { convert, fsck, treeOf } from "../images/convert.js";
import { tar } from "../images/tar-maker.js";

const runTool = toolRunner(process.env["PATH"] ?? "");
const { signal } = new AbortController();
let directory: string;
let handles: VmHandles;
const noted: NewEvent[] = [];

/** The seed of an image that has these files in /root. */
async function seedOf(files: Record<string, string | Buffer>): Promise<string> {
  const entries = Object.entries(files).map(([name, data]) => ({ name: `root/${name}`, data, uid: 7 }));
  const { path } = await convert(directory, [tar(entries)]);
  renameSync(path, join(directory, "rootfs.ext4"));
  await makeWorkSeed(directory);
  return ((await findWorkSeed(directory)) as { path: string }).path;
}

const ensure = (diskMiB: number, seed: string | null): Promise<void> => {
  const effect = {
    kind: "ensureDisk",
    vmId: "0123abcd",
    imageId: "x-00000001",
    name: "x",
    diskMiB,
    rootMiB: 0,
  } as const;
  const note = (event: NewEvent) => void noted.push(event);
  return ensureWorkDisk(handles, effect, { runTool, workSeeds: async () => seed, note }, signal);
};

/** Names on the disk, once e2fsck has nothing to say of it and it is as large as it must be. */
async function namesOn(diskMiB: number): Promise<string[]> {
  assert.equal(statSync(handles.workDisk).size, diskMiB << 20);
  assert.equal(statSync(handles.workDisk).mode & 0o777, 0o600);
  await fsck(handles.workDisk);
  return [...treeOf(handles.workDisk).keys()].filter(Boolean);
}

beforeEach(() => {
  directory = mkdtempSync("/tmp/banger-work-disk-");
  const home = { state: directory, data: "", cache: "", config: "", runtime: "" };
  const at = { workDisk: join(directory, "work.raw"), growingMark: join(directory, "work.growing") };
  handles = { ...vmHandles(home, "0123abcd"), ...at };
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test("a clone has what the seed has, in sizes below and above the seed's, whoever may read that", async () => {
  const seed = await seedOf({ ".profile": "export A=b", "dir/file": "content" });
  chmodSync(seed, 0o644);
  for (const diskMiB of [64, 200, 256, 1000]) {
    await ensure(diskMiB, seed);
    assert.deepEqual(await namesOn(diskMiB), [".profile", "dir", "dir/file"]);
    const { uid, gid, hash } = treeOf(handles.workDisk).get("dir/file") ?? {};
    assert.deepEqual([uid, gid, hash], [7, 0, treeOf(seed).get("dir/file")?.hash]);
    rmSync(handles.workDisk);
  }
});

test("a clone takes the room of its content only", async () => {
  const seed = await seedOf({ file: "small" });
  await ensure(4096, seed);
  assert.ok(statSync(handles.workDisk).blocks * 512 < 2 << 20);
});

test("a disk that cannot hold what the image has is refused, and nothing of it stays under its name", async () => {
  const seed = await seedOf({ large: Buffer.alloc(52 << 20, "z") });
  await assert.rejects(ensure(64, seed), { code: "disk_too_small", hint: /--disk-size/ });
  assert.equal(existsSync(handles.workDisk), false);
  await ensure(128, seed);
  assert.deepEqual(await namesOn(128), ["large"]);
});

test("what a crash has left of a clone is no part of the next", async () => {
  const seed = await seedOf({ file: "content" });
  writeFileSync(`${handles.workDisk}.new`, Buffer.alloc(1 << 20, "x"), { mode: 0o600 });
  await ensure(300, seed);
  assert.deepEqual(await namesOn(300), ["file"]);
  assert.equal(existsSync(`${handles.workDisk}.new`), false);
});

test("the disk that is there is not cloned again, only grown; without a seed it begins empty", async () => {
  await ensure(64, null);
  const before = statSync(handles.workDisk).ino;
  await ensure(96, await seedOf({ file: "content" }));
  assert.equal(statSync(handles.workDisk).ino, before);
  assert.equal(statSync(handles.workDisk).size, 96 << 20);
});

test("a damaged disk gets its room, is told with what mends it, and keeps nobody from starting", async () => {
  await ensure(64, null);
  execFileSync("debugfs", ["-w", "-R", "clri <2>", handles.workDisk], { stdio: "ignore" });
  noted.length = 0;
  await ensure(128, null);
  assert.equal(statSync(handles.workDisk).size, 128 << 20);
  assert.ok(!existsSync(handles.growingMark));
  const [told, ...more] = noted as { type: string; data: { code: string; message: string; hint: string } }[];
  assert.deepEqual([told?.type, told?.data.code, more.length], ["vm.effect_failed", "work_disk_damaged", 0]);
  assert.match(told?.data.message ?? "", /is damaged: e2fsck/);
  // The hint is what mends it.
  const commands = (told?.data.hint ?? "").replace(/^[^:]*: /, "");
  execFileSync("sh", ["-c", `${commands} || true`], { stdio: "ignore" });
  noted.length = 0;
  await ensure(200, null);
  assert.deepEqual(noted, []);
  await namesOn(200);
});

test("a home whose path has what the tools read as options has disks like any other", async () => {
  const odd = join(directory, `a?offset=4096 "b" %h`);
  const plain = join(directory, "plain");
  mkdirSync(odd);
  symlinkSync(odd, plain);
  handles = { ...handles, workDisk: join(odd, "work.raw"), growingMark: join(odd, "work.growing") };
  noted.length = 0;
  for (const diskMiB of [64, 128]) {
    await ensure(diskMiB, null);
    await fsck(join(plain, "work.raw"));
    const superblock = readFileSync(handles.workDisk).subarray(1024, 2048);
    const blockSize = 1024 << superblock.readUInt32LE(24);
    assert.equal(superblock.readUInt32LE(4) * blockSize, diskMiB << 20);
  }
  assert.deepEqual(noted, []);
});
