/** What a new VM's /root begins with: a file system with what the image has there, cloned for each VM. */
import { createHash } from "node:crypto";
import { closeSync, fsyncSync, ftruncateSync, openSync, readSync } from "node:fs";
import { readdir, rename, rm, stat } from "node:fs/promises";
import { Disk } from "../ext4/disk.js";
import { finish } from "../ext4/finish.js";
import { Ext4Image, Unfit } from "../ext4/image.js";
import { blockSize, blocksPerGroup, ceilDivide, typeBits } from "../ext4/layout.js";
import { rootEntry } from "../ext4/names.js";
import { Ext4Reader, type Node } from "../ext4/reader.js";
import { hostError } from "../host/host-error.js";
import { temporaryName } from "../host/publish.js";
import { BangerError } from "../lib/errors.js";
import { rootfsFile, workSeedFile } from "./manifest.js";

/** Raised when seeds are made in another way: those that are there are then made anew, their images are not. */
const seedVersion = 1;
/** At least so much of a seed is free: its size decides how large the journal of each VM's /root is. */
const freeBlocks = (192 << 20) / blockSize;
/** What inode and name of an entry may take, in bytes. */
const bytesPerEntry = 1024;
/** More names than any /root has reason to have. */
const mostEntries = 2_000_000;

/** An image's own seed is one that somebody gave it; any other is made of its root disk. */
export type WorkSeed =
  | { is: "own" | "made"; path: string }
  /** The image has nothing in /root. */
  | { is: "empty" }
  | { is: "missing" };

const madeSeed = /^work-seed-[0-9a-f]{16}\.ext4(\.new)?$/;

/**
 * Tells one state of a root disk from the next: the superblock changes with each mount and each change of what is
 * used. The disk's content is not read: that takes seconds.
 */
function fingerprint(rootfs: string): string {
  const superblock = Buffer.alloc(1024);
  const fd = openSync(rootfs, "r");
  try {
    readSync(fd, superblock, 0, superblock.length, superblock.length);
  } finally {
    closeSync(fd);
  }
  return createHash("sha256").update(`${seedVersion}\n`).update(superblock).digest("hex").slice(0, 16);
}

const madePath = (directory: string): string =>
  `${directory}/work-seed-${fingerprint(`${directory}/${rootfsFile}`)}.ext4`;

/** The size of a file, undefined where there is none. */
async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** The seed of the image in `directory`, if it is of the present root disk and made as this version makes it. */
export async function findWorkSeed(directory: string): Promise<WorkSeed> {
  const own = `${directory}/${workSeedFile}`;
  if ((await sizeOf(own)) !== undefined) return { is: "own", path: own };
  const path = madePath(directory);
  const size = await sizeOf(path);
  if (size === undefined) return { is: "missing" };
  return size === 0 ? { is: "empty" } : { is: "made", path };
}

/** Copies what the directory `from` lists into the image's root, owners, links, holes and all. */
function copyTree(reader: Ext4Reader, from: Node, image: Ext4Image): void {
  const linked = new Map<number, number>();
  const seen = new Set<number>([from.number]);
  const ahead: { node: Node; entry: number }[] = [{ node: from, entry: rootEntry }];
  for (let next = ahead.pop(); next !== undefined; next = ahead.pop())
    for (const { name, inode } of reader.entries(next.node)) {
      if (next.entry === rootEntry && name === "lost+found") continue;
      if (image.names.count >= mostEntries) throw new Unfit(`it has more than ${mostEntries} entries`);
      const first = linked.get(inode);
      if (first !== undefined) {
        image.link(next.entry, name, first);
        continue;
      }
      const node = reader.node(inode);
      if (node.type === typeBits.directory) {
        if (seen.has(inode)) throw new Unfit(`directory ${inode} appears in two places`);
        seen.add(inode);
        ahead.push({ node, entry: image.directory(next.entry, name, node.attributes) });
      } else {
        copyNode(reader, node, image, next.entry, name);
        if (node.links > 1) linked.set(inode, image.find(next.entry, name));
      }
    }
}

function copyNode(reader: Ext4Reader, node: Node, image: Ext4Image, parent: number, name: string): void {
  const { attributes, type } = node;
  switch (type) {
    case typeBits.file: {
      const segments = reader.segments(node);
      const whole = segments.reduce((sum, { length }) => sum + length, 0) === node.size;
      const data = image.file(parent, name, node.size, attributes, whole ? undefined : segments);
      for (const bytes of reader.data(node)) data.write(bytes);
      return data.end();
    }
    case typeBits.symlink:
      return image.symlink(parent, name, reader.target(node), attributes);
    case typeBits.character:
    case typeBits.block:
      return image.device(parent, name, type, node, attributes);
    case typeBits.fifo:
      return image.fifo(parent, name, attributes);
    default:
      // A socket is nothing without the process that listens on it.
      return;
  }
}

/** Whole groups, so that growth continues with as many inodes per group as mke2fs gives. */
function sizeOfSeed({ blocks, names }: Ext4Image): number {
  const needed = blocks.next + freeBlocks + ceilDivide(names.count * bytesPerEntry, blockSize);
  return ceilDivide(needed, blocksPerGroup) * blocksPerGroup;
}

/** Writes the seed to `path`; an empty file where the image has nothing in /root. */
function writeSeed(rootfs: string, path: string): void {
  const reader = new Ext4Reader(rootfs);
  const fd = openSync(path, "w+", 0o600);
  try {
    const from = reader.directory("root");
    if (from !== undefined && !reader.entries(from).next().done) {
      const image = new Ext4Image(new Disk(fd));
      const seconds = reader.madeAt;
      const owner = { uid: 0, gid: 0, seconds, nanoseconds: 0 };
      image.directory(rootEntry, "", { ...owner, mode: 0o755 });
      copyTree(reader, from, image);
      const uuid = createHash("sha256").update(reader.superblock).digest().subarray(0, 16);
      const size = { totalBlocks: sizeOfSeed(image), freeBlocks: 0 };
      const identity = { uuid, label: "banger-work", seconds };
      ftruncateSync(fd, finish(image, size, identity).totalBytes);
    }
    fsyncSync(fd);
  } finally {
    closeSync(fd);
    reader.close();
  }
}

function named(error: unknown, rootfs: string): unknown {
  const damaged = error instanceof Unfit || error instanceof RangeError;
  if (!damaged && !(error instanceof BangerError && error.code === "rootfs_unreadable"))
    return hostError(error, rootfs);
  const hint = "banger image register --work-seed P, with your own ext4 file system for /root";
  return new BangerError("rootfs_unreadable", `/root of ${rootfs}: ${error.message}`, {
    hint: (error instanceof BangerError && error.hint) || hint,
    cause: error,
  });
}

/**
 * Makes the seed of the image in `directory` and takes away those of other states of its root disk. Runs on the
 * calling thread for as long as copying /root takes, so the daemon has another process do it.
 * @throws BangerError `rootfs_unreadable`, `disk_full`
 */
export async function makeWorkSeed(directory: string): Promise<void> {
  const rootfs = `${directory}/${rootfsFile}`;
  try {
    const path = madePath(directory);
    writeSeed(rootfs, temporaryName(path));
    await rename(temporaryName(path), path);
    for (const file of await readdir(directory))
      if (madeSeed.test(file) && `${directory}/${file}` !== path) await rm(`${directory}/${file}`);
  } catch (error) {
    throw named(error, rootfs);
  }
}
