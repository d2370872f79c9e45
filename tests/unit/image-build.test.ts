/** Half-built images: their builders are found, ended and cleaned up after; finished ones are checked. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { identify, isAlive } from "../../src/host/processes.js";
import { ensureNoPartial, observePartial } from "../../src/images/builder/process.js";
import { inspectImage, verifyImage } from "../../src/images/manifest.js";
import { stageOf } from "../../src/images/rootfs.js";
import { systemClock } from "../../src/lib/clock.js";

let directory: string;
let children: ChildProcess[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "banger-image-"));
  children = [];
});

afterEach(() => {
  for (const { pid } of children)
    try {
      process.kill(-(pid as number), "SIGKILL");
    } catch {
      // It has gone, which is what most tests are about.
    }
  rmSync(directory, { recursive: true, force: true });
});

const clock = {
  ...systemClock,
  // Unlike the daemon's, these tests have nothing else that keeps the process alive.
  after(delayMs: number, callback: () => void) {
    const timer = setTimeout(callback, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
};

/** No half-built image here has one outside of it. */
const noScratch = () => Promise.reject(new Error("there is no scratch directory"));
const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();

/** A half-built image and the shell that stands for its builder, which has itself started something. */
async function halfBuilt(change: object = {}) {
  const partial = join(directory, "debian-slim-0123abcd.partial");
  mkdirSync(partial);
  writeFileSync(join(partial, "rootfs.ext4"), "half");
  const child = spawn("sh", ["-c", "sleep 600 & echo $!; wait"], {
    detached: true,
    stdio: ["ignore", "pipe", "ignore"],
  });
  children.push(child);
  const [line] = (await once(child.stdout as NodeJS.ReadableStream, "data")) as [Buffer];
  const seen = identify(child.pid as number);
  assert.equal(seen.is, "present");
  const { pid, startTime } = seen as { pid: number; startTime: string };
  writeFileSync(join(partial, "builder.json"), JSON.stringify({ pid, startTime, bootId, ...change }));
  const started = identify(Number(line.toString()));
  return {
    partial,
    child,
    builder: { pid, startTime },
    started: started as { pid: number; startTime: string },
  };
}

test("an orphaned builder is ended with all that it started, and its directory goes", async () => {
  const { partial, builder, started } = await halfBuilt();
  assert.deepEqual(observePartial(partial, "/state"), { building: true, elsewhere: false });
  await ensureNoPartial(partial, "/state", noScratch, clock);
  assert.ok(!isAlive(builder) && !isAlive(started));
  assert.ok(!existsSync(partial));
  await ensureNoPartial(partial, "/state", noScratch, clock);
});

test("what a killed builder left running is ended, too", async () => {
  const { partial, child, started } = await halfBuilt();
  process.kill(child.pid as number, "SIGKILL");
  await once(child, "exit");
  assert.deepEqual(observePartial(partial, "/state"), { building: true, elsewhere: false });
  await ensureNoPartial(partial, "/state", noScratch, clock);
  assert.ok(!isAlive(started));
});

for (const [what, change] of [
  ["start time", { startTime: "1" }],
  ["boot", { bootId: "another" }],
] as const)
  test(`a process with the builder's pid but another ${what} is left alone`, async () => {
    const { partial, builder } = await halfBuilt(change);
    assert.deepEqual(observePartial(partial, "/state"), { building: false, elsewhere: false });
    await ensureNoPartial(partial, "/state", noScratch, clock);
    assert.ok(isAlive(builder));
    assert.ok(!existsSync(partial));
  });

test("a half-built image without a record of its builder is only removed", async () => {
  const partial = join(directory, "x.partial");
  mkdirSync(partial);
  writeFileSync(join(partial, "builder.json"), '{"pid":1,"startTime":"1"}');
  assert.deepEqual(observePartial(partial, "/state"), { building: false, elsewhere: false });
  await ensureNoPartial(partial, "/state", noScratch, clock);
  assert.ok(!existsSync(partial));
});

test("an image is present when its files are as its manifest says, else the damage is named", () => {
  assert.deepEqual(inspectImage(join(directory, "none")), { is: "absent" });
  const sizes = { "rootfs.ext4": 30, vmlinux: 20, "modules.cpio": 10 };
  for (const [name, bytes] of Object.entries(sizes))
    writeFileSync(join(directory, name), Buffer.alloc(bytes));
  const manifest = {
    ...{
      schema: 1,
      imageId: "a-0123abcd",
      name: "a",
      suite: "s",
      kernelRelease: "6",
      bootArguments: "",
      sizeBytes: 60,
    },
    files: Object.fromEntries(Object.entries(sizes).map(([name, bytes]) => [name, { bytes }])),
  };
  writeFileSync(join(directory, "manifest.json"), JSON.stringify(manifest));
  assert.deepEqual(inspectImage(directory), { is: "present", sizeBytes: 60, damage: null });
  const seeded = { ...manifest, files: { ...manifest.files, "work-seed.ext4": { bytes: 5 } } };
  writeFileSync(join(directory, "manifest.json"), JSON.stringify(seeded));
  assert.throws(() => verifyImage(directory), { code: "image_corrupt", message: /work-seed\.ext4/ });
  writeFileSync(join(directory, "work-seed.ext4"), "seed!");
  assert.equal(verifyImage(directory).files["work-seed.ext4"]?.bytes, 5);
  truncateSync(join(directory, "vmlinux"), 19);
  assert.throws(() => verifyImage(directory), { code: "image_corrupt", message: /vmlinux has 19 bytes/ });
  const seen = inspectImage(directory);
  assert.ok(seen.is === "present" && /vmlinux has 19 bytes/.test(seen.damage ?? ""));
  writeFileSync(join(directory, "manifest.json"), "{");
  assert.throws(() => verifyImage(directory), { code: "image_corrupt" });
});

test("mmdebstrap's output tells the stage", () => {
  assert.equal(stageOf("I: extracting archives...")?.[0], "unpack");
  assert.equal(stageOf("I: running --customize-hook in shell: sh -c 'rootfs_mib=4096")?.[0], "disk");
  assert.equal(stageOf("I: running --customize-hook in shell: sh -c '# Makes")?.[0], "configure");
  assert.equal(stageOf("done"), undefined);
});
