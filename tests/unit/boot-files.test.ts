/** What a guest boots from: archives, modules and kernels are taken apart and put together byte by byte. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { toolRunner } from "../../src/host/run-tool.js";
import { extractBootFiles, newestKernel, parseListing } from "../../src/images/kernel/boot-files.js";
import { ensureInitrd, modulesArchive } from "../../src/images/kernel/initrd.js";
import { loadOrder } from "../../src/images/kernel/kernel-modules.js";
import { unpackLz4Legacy } from "../../src/images/kernel/lz4.js";
import { extractVmlinux } from "../../src/images/kernel/vmlinux.js";
import { convert } from "../images/convert.js";
import { tar } from "../images/tar-maker.js";

/** Reads "newc" archives that follow one another, as the kernel does. */
function readCpio(archive: Buffer): Map<string, { mode: number; content: Buffer }> {
  const entries = new Map<string, { mode: number; content: Buffer }>();
  const aligned = (offset: number) => (offset + 3) & ~3;
  for (let at = 0; at < archive.length; ) {
    assert.equal(archive.toString("latin1", at, at + 6), "070701");
    const field = (n: number) =>
      Number.parseInt(archive.toString("latin1", at + 6 + n * 8, at + 14 + n * 8), 16);
    const [mode, size, nameSize] = [field(1), field(6), field(11)];
    const name = archive.toString("utf8", at + 110, at + 110 + nameSize - 1);
    const start = aligned(at + 110 + nameSize);
    if (name !== "TRAILER!!!") entries.set(name, { mode, content: archive.subarray(start, start + size) });
    at = aligned(start + size);
  }
  return entries;
}

const elf = (text: string): Buffer => Buffer.from(`\x7fELF${text}`, "latin1");

function bzImage(payload: Buffer): Buffer {
  const image = Buffer.alloc(1024 * 4);
  image.writeUInt8(1, 0x1f1);
  image.write("HdrS", 0x202, "latin1");
  image.writeUInt32LE(100, 0x248);
  image.writeUInt32LE(payload.length, 0x24c);
  return Buffer.concat([image.subarray(0, 1024 + 100), payload, Buffer.alloc(32)]);
}

const sizeOf = (kernel: Buffer): Buffer => {
  const size = Buffer.alloc(4);
  size.writeUInt32LE(kernel.length);
  return size;
};

test("modules load after what they need, built-in ones not at all, missing ones are named", () => {
  const needs = `kernel/ring.ko:
kernel/virtio.ko: kernel/ring.ko
kernel/virtio_blk.ko.xz: kernel/virtio.ko kernel/ring.ko
kernel/virtio-net.ko: kernel/failover.ko kernel/virtio.ko kernel/ring.ko
kernel/failover.ko:
`;
  const order = loadOrder(needs, "kernel/fs/ext4.ko\n", [
    { name: "virtio_blk" },
    { name: "ext4" },
    { name: "virtio_net" },
    { name: "virtio_rng", optional: true },
  ]);
  assert.deepEqual(
    order.map(({ path }) => path),
    [
      ...["kernel/ring.ko", "kernel/virtio.ko", "kernel/virtio_blk.ko.xz"],
      ...["kernel/failover.ko", "kernel/virtio-net.ko"],
    ],
  );
  assert.throws(() => loadOrder(needs, "", [{ name: "virtio_console" }]), /virtio_console/);
});

test("a module for one device brings its own needs for that device alone, and shared ones for all", () => {
  const needs = "a.ko: shared.ko own.ko\nb.ko: shared.ko\nc.ko: base.ko\nshared.ko:\nown.ko:\nbase.ko:\n";
  const order = loadOrder(needs, "", [
    { name: "c" },
    { name: "a", device: 19 },
    { name: "b", device: 4 },
    { name: "base", device: 5 },
  ]);
  assert.deepEqual(order, [
    ...[{ path: "base.ko" }, { path: "c.ko" }, { path: "own.ko", device: 19 }, { path: "shared.ko" }],
    ...[
      { path: "a.ko", device: 19 },
      { path: "b.ko", device: 4 },
    ],
  ]);
  const content = Buffer.from("\x7fELF", "latin1");
  const archive = readCpio(modulesArchive(order.map((module) => ({ ...module, content }))));
  assert.equal(
    archive.get("modules.list")?.content.toString(),
    "/base.ko\n/c.ko\n/own.ko 19\n/shared.ko\n/a.ko 19\n/b.ko 4\n",
  );
});

test("the first root is the image's modules followed by the agent, made once for each agent", async () => {
  const directory = mkdtempSync(join(tmpdir(), "banger-initrd-"));
  try {
    const module = { path: "kernel/virtio-blk.ko.gz", content: gzipSync(elf("module")) };
    writeFileSync(join(directory, "modules.cpio"), modulesArchive([module]));
    writeFileSync(join(directory, "agent"), "first");
    const first = await ensureInitrd(directory, join(directory, "agent"));
    const entries = readCpio(readFileSync(first));
    assert.deepEqual([...entries.keys()], ["virtio_blk.ko", "modules.list", "dev", "dev/console", "init"]);
    assert.deepEqual(entries.get("virtio_blk.ko")?.content, elf("module"));
    assert.equal(entries.get("modules.list")?.content.toString(), "/virtio_blk.ko\n");
    assert.deepEqual(entries.get("init"), { mode: 0o100755, content: Buffer.from("first") });
    assert.equal(await ensureInitrd(directory, join(directory, "agent")), first);
    writeFileSync(join(directory, "agent"), "second");
    const second = await ensureInitrd(directory, join(directory, "agent"));
    const initrds = readdirSync(directory).filter((name) => name.startsWith("initrd-"));
    assert.deepEqual(
      initrds.map((name) => join(directory, name)),
      [second],
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("LZ4 blocks with literals and with matches that overlap themselves", () => {
  // "abc", then 9 bytes from 3 back, then the literal "!"; the second sequence has no match.
  const block = Buffer.from([0x35, 0x61, 0x62, 0x63, 3, 0, 0x10, 0x21]);
  const frame = Buffer.concat([Buffer.from([0x02, 0x21, 0x4c, 0x18, block.length, 0, 0, 0]), block]);
  assert.equal(unpackLz4Legacy(frame, 100).toString(), "abcabcabcabc!");
  assert.throws(() => unpackLz4Legacy(frame, 10), RangeError);
  const far = Buffer.from(frame);
  far.writeUInt16LE(4, 12);
  assert.throws(() => unpackLz4Legacy(far, 100), RangeError);
});

test("the kernel comes out of its bzImage, and what is none is refused", () => {
  const kernel = Buffer.concat([Buffer.from("\x7fELF", "latin1"), Buffer.alloc(5000, 7)]);
  const packed = gzipSync(kernel);
  assert.deepEqual(extractVmlinux(bzImage(packed)), kernel);
  const xz = execFileSync("xz", ["-c", "--check=crc32"], { input: kernel });
  assert.deepEqual(extractVmlinux(bzImage(Buffer.concat([xz, sizeOf(kernel)]))), kernel);
  assert.equal(extractVmlinux(kernel), kernel);
  const notElf = gzipSync(Buffer.alloc(100));
  const broken = Buffer.from(packed);
  broken.fill(0, 20, 40);
  for (const bad of [Buffer.alloc(4096), bzImage(Buffer.alloc(64)), bzImage(notElf), bzImage(broken)])
    assert.throws(() => extractVmlinux(bad), { code: "kernel_unusable" });
});

test("the newest kernel of /boot is found by version, not by spelling", () => {
  const listing = [
    "/13/040755/0/0/.//",
    "/14/100644/0/0/vmlinuz-6.1.0-9-cloud-amd64/1/",
    "/15/100644/0/0/vmlinuz-6.1.0-56-cloud-amd64/1/",
    "\n",
  ].join("\n");
  assert.equal(newestKernel(parseListing(listing)), "6.1.0-56-cloud-amd64");
  assert.equal(newestKernel(["config-6.1"]), undefined);
});

test("boot files are found wherever the root disk lies", async () => {
  const top = mkdtempSync(join(tmpdir(), "banger-boot-files-"));
  const odd = join(top, `a?b "c"`);
  mkdirSync(odd);
  const kernel = { name: "boot/vmlinuz-6.1.0-13-amd64", data: "no kernel" };
  const { path } = await convert(top, [tar([kernel])]);
  renameSync(path, join(odd, "rootfs.ext4"));
  const taking = extractBootFiles(odd, toolRunner(process.env["PATH"] ?? ""), new AbortController().signal);
  // What is in there is read, and refused for what it is.
  await assert.rejects(taking, { message: /cannot be unpacked: it is not a bzImage/ });
  rmSync(top, { recursive: true });
});
