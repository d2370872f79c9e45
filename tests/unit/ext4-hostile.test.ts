/** Root disks that somebody made to hurt: reading /root of them ends soon, with a name for what is wrong. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { makeWorkSeed } from "../../src/images/work-seed.js";
import { BangerError } from "../../src/lib/errors.js";
import { reached } from "../reached.js";

const numRuns = Number(process.env.FUZZ_CASES ?? 60);
const env = { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` };
const block = 4096;
let directory: string;
let rootfs: string;
let sound: Buffer;

const run = (tool: string, ...argv: string[]): string =>
  execFileSync(tool, argv, { env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
const debugfs = (...requests: string[]): string =>
  requests.map((request) => run("debugfs", "-w", "-R", request, rootfs)).join("");

before(() => {
  directory = mkdtempSync("/tmp/banger-hostile-");
  rootfs = `${directory}/rootfs.ext4`;
  mkdirSync(`${directory}/tree/root/sub`, { recursive: true });
  for (const name of ["a", "b", "c", "d", "e"])
    writeFileSync(`${directory}/tree/root/${name}`, `file ${name}`);
  writeFileSync(`${directory}/tree/root/sub/deep`, "deep");
  writeFileSync(
    `${directory}/tree/root/nodes`,
    Buffer.concat(Array(8).fill(Buffer.alloc(block).fill("n", 0, 1))),
  );
  run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-d", `${directory}/tree`, rootfs, "4M");
  sound = readFileSync(rootfs);
});
after(() => rmSync(directory, { recursive: true }));

function put(bytes: Buffer, position: number): void {
  const fd = openSync(rootfs, "r+");
  writeSync(fd, bytes, 0, bytes.length, position);
  closeSync(fd);
}

const refused = async (words: RegExp): Promise<void> => {
  await assert.rejects(makeWorkSeed(directory), { code: "rootfs_unreadable", message: words });
  writeFileSync(rootfs, sound);
};

/** A node of an extent tree: index entries that lead to `child`, or extents. */
function node(
  depth: number,
  entries: readonly (readonly [logical: number, count: number, physical: number])[],
): Buffer {
  const bytes = Buffer.alloc(block);
  bytes.writeUInt16LE(0xf30a, 0);
  bytes.writeUInt16LE(entries.length, 2);
  bytes.writeUInt16LE(340, 4);
  bytes.writeUInt16LE(depth, 6);
  entries.forEach(([logical, count, physical], index) => {
    const at = 12 * (index + 1);
    bytes.writeUInt32LE(logical, at);
    if (depth > 0) bytes.writeUInt32LE(physical, at + 4);
    else {
      bytes.writeUInt16LE(count, at + 4);
      bytes.writeUInt32LE(physical, at + 8);
    }
  });
  return bytes;
}

/** Gives a file of /root this root of an extent tree, and a size. */
function setTree(name: string, root: Buffer, size: number): void {
  const words = Array.from({ length: 15 }, (_, index) => root.readUInt32LE(index * 4));
  // What debugfs says of a block that it thinks is none goes to standard error, and does not matter.
  debugfs(...words.map((word, index) => `sif /root/${name} block[${index}] ${word}`));
  debugfs(`sif /root/${name} size ${size}`);
}

test("the sound disk is read, so that what follows is refused for its fault alone", async () => {
  await makeWorkSeed(directory);
});

test("a tree of extents that leads to the same nodes again and again", async () => {
  const blocks = debugfs("blocks /root/nodes").trim().split(/\s+/).map(Number);
  const many = (depth: number, child: number) =>
    node(
      depth,
      Array.from({ length: 340 }, (_, index) => [index, 0, child] as const),
    );
  blocks.slice(0, 5).forEach((at, index) => {
    const child = blocks[index + 1] ?? 0;
    put(index === 4 ? node(0, []) : many(4 - index, child), at * block);
  });
  setTree(
    "a",
    many(5, blocks[0] ?? 0)
      .subarray(0, 60)
      .fill(4, 2, 3)
      .fill(0, 3, 4),
    100_000,
  );
  await refused(/extents of inode \d+ are damaged|more blocks than it has/);
});

test("extents that lie over each other, or have no length", async () => {
  for (const extents of [
    [
      [0, 8, 100],
      [4, 8, 100],
    ],
    [
      [4, 1, 100],
      [0, 1, 101],
    ],
    [[0, 0, 100]],
  ] as [number, number, number][][]) {
    setTree("a", node(0, extents).subarray(0, 60), 100_000);
    await refused(/extents of inode \d+ are damaged/);
  }
});

test("files that all have the same blocks, and more of them than the disk", async () => {
  for (const name of ["a", "b", "c", "d", "e"])
    setTree(name, node(0, [[0, 900, 1]]).subarray(0, 60), 900 * block);
  await refused(/more blocks than it has/);
});

test("names that no directory may have, and lengths that reach over their entry", async () => {
  const entry = sound.indexOf(Buffer.from([4, 1, ...Buffer.from("deep")]));
  assert.ok(entry > 0, "the entry of sub/deep");
  for (const bytes of [
    Buffer.from([4, 1, ...Buffer.from("../x")]),
    Buffer.from([4, 1, ...Buffer.from("d\0ep")]),
    Buffer.from([0, 1, ...Buffer.from("deep")]),
  ]) {
    put(bytes, entry);
    await refused(/directory \d+ is damaged/);
  }
  put(Buffer.from([12, 0, 255, 1]), entry - 2);
  await refused(/directory \d+ is damaged/);
});

test("a link with a text longer than any", async () => {
  debugfs("sif /root/a mode 0120777", "sif /root/a size 1000000");
  await refused(/link in inode \d+ is too long/);
});

test("bytes changed at random: read, or refused by name, and never for ever", {
  timeout: 600_000,
}, async (t) => {
  const hit = reached(t, { refused: numRuns / 20, read: numRuns / 20 });
  const said = [...sound.keys()].filter((at) => sound[at] !== 0);
  const change = fc.tuple(
    fc.constantFrom(...said),
    fc.oneof(fc.constantFrom(0, 1, 255), fc.nat(255)),
    fc.nat(3),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 120, size: "max" }), async (changes) => {
      const bytes = Buffer.from(sound);
      for (const [at, value, more] of changes) bytes.fill(value, at, at + 1 + more);
      writeFileSync(rootfs, bytes);
      await makeWorkSeed(directory).then(
        () => hit("read"),
        (error: unknown) => {
          if (!(error instanceof BangerError)) throw error;
          hit("refused");
        },
      );
    }),
    { numRuns },
  );
});
