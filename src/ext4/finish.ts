/** Ends an ext4 image: directories, attributes, journal, then the tables that say where all of it lies. */
import { directoryBlocks, type Listed } from "./directories.js";
import { type ExtentRoot, extentsFrom, fitInode, inodeExtents, writeExtents } from "./extents.js";
import { computeGeometry, type Size, writeGroups } from "./groups.js";
import type { Ext4Image } from "./image.js";
import { type InodeParts, inodeNumber, nodeOf, putInode, rootNode } from "./inodes.js";
import { blockSize, type Finished, firstInode, journalInode, resizeInode, typeBits } from "./layout.js";
import { rootEntry } from "./names.js";
import { resizeParts } from "./resize.js";
import { type Identity, journalBlocks, journalHeader } from "./superblock.js";
import { sharedBy } from "./xattrs.js";

const mostLinks = 65000;
const longestShortLink = 59;

interface Shared {
  blocks: number[];
  /** Inodes that have one already. */
  users: number;
}

interface Laid {
  /** Trees too large for the inode. */
  trees: Map<number, ExtentRoot>;
  /** Blocks of each set of attributes that has any, each for the next `sharedBy` inodes. */
  xattrBlocks: Map<number, Shared>;
  /** Subdirectories of each directory. */
  subdirectories: Map<number, number>;
}

function* listed(image: Ext4Image, entry: number, laid: Laid): Generator<Listed> {
  const { names, inodes } = image;
  const node = names.inode(entry);
  const parent = entry === rootEntry ? rootNode : names.inode(names.parent(entry));
  yield { name: Buffer.from("."), inode: inodeNumber(node), type: typeBits.directory };
  yield { name: Buffer.from(".."), inode: inodeNumber(parent), type: typeBits.directory };
  let subdirectories = 0;
  for (const child of names.children(entry)) {
    const inode = names.inode(child);
    const type = inodes.type(inode);
    if (type === typeBits.directory) subdirectories += 1;
    yield { name: names.nameBytes(child), inode: inodeNumber(inode), type };
  }
  if (subdirectories > 0) laid.subdirectories.set(node, subdirectories);
}

function writeDirectories(image: Ext4Image, laid: Laid): void {
  const { names, inodes, blocks, disk } = image;
  for (let entry = rootEntry; entry <= names.count; entry++) {
    const node = names.inode(entry);
    if (node === 0 || inodes.type(node) !== typeBits.directory) continue;
    let size = 0;
    for (const bytes of directoryBlocks(listed(image, entry, laid))) {
      const block = blocks.takeNew(1);
      if (size === 0) inodes.start.set(node, block);
      disk.write(block * blockSize, bytes);
      size += blockSize;
    }
    inodes.size.set(node, size);
  }
}

function writeXattrs(image: Ext4Image, laid: Laid): void {
  const users = new Map<number, number>();
  const { inodes, xattrSets } = image;
  for (let node = rootNode; node <= inodes.highest; node++) {
    const set = inodes.xattrs.get(node);
    if (inodes.isUsed(node) && xattrSets[set]?.block !== undefined) users.set(set, (users.get(set) ?? 0) + 1);
  }
  for (const [set, count] of users) {
    const shared: Shared = { blocks: [], users: 0 };
    for (let left = count; left > 0; left -= sharedBy) {
      const bytes = Buffer.from(xattrSets[set]?.block as Buffer);
      bytes.writeUInt32LE(Math.min(left, sharedBy), 4);
      const block = image.blocks.takeNew(1);
      image.disk.write(block * blockSize, bytes);
      shared.blocks.push(block);
    }
    laid.xattrBlocks.set(set, shared);
  }
}

function writeTrees(image: Ext4Image, laid: Laid): void {
  const { inodes } = image;
  const smallest = 2 * 32768 * blockSize;
  for (let node = rootNode; node <= inodes.highest; node++) {
    const type = inodes.type(node);
    if (type !== typeBits.file && type !== typeBits.directory) continue;
    if (!image.sparse.has(node) && inodes.size.get(node) < smallest) continue;
    const extents = image.extents(node);
    if (!fitInode(extents)) laid.trees.set(node, writeExtents(extents, image.blocks, image.disk));
  }
}

/** One for all inodes, which are written one by one. */
const scratch = Buffer.alloc(60);

/** What the inode of an entry has beside its row; valid until the next is asked for. */
function partsOf(image: Ext4Image, laid: Laid, node: number): InodeParts {
  const { inodes, xattrSets } = image;
  const type = inodes.type(node);
  const size = inodes.size.get(node);
  const start = inodes.start.get(node);
  const set = inodes.xattrs.get(node);
  const shared = laid.xattrBlocks.get(set);
  const subdirectories = laid.subdirectories.get(node) ?? 0;
  const links = type === typeBits.directory ? subdirectories + 2 : inodes.links.get(node);
  const common = {
    // The dir_nlink feature: 1 says that there are too many to count.
    links: links > mostLinks ? 1 : links,
    size,
    xattrBlock: shared?.blocks[Math.floor(shared.users++ / sharedBy)],
    xattrTail: xattrSets[set]?.inode,
  };
  const xattrBlocks = shared === undefined ? 0 : 1;
  const block = scratch.fill(0);
  if (type === typeBits.symlink && size <= longestShortLink) {
    image.links.bytes(start).copy(block);
    return { ...common, block, extents: false, blocks: xattrBlocks };
  }
  if (type === typeBits.character || type === typeBits.block) {
    // Numbers of up to 8 and 8 bits keep the place that they had before larger ones came.
    block.writeUInt32LE(start, start <= 0xffff ? 0 : 4);
    return { ...common, block, extents: false, blocks: xattrBlocks };
  }
  if (type === typeBits.fifo) return { ...common, block, extents: false, blocks: xattrBlocks };
  const extents = image.extents(node);
  const root = laid.trees.get(node) ?? inodeExtents(extents, block);
  const data = extents.reduce((sum, { count }) => sum + count, 0);
  return { ...common, block: root.bytes, extents: true, blocks: data + root.treeBlocks + xattrBlocks };
}

function journalParts(image: Ext4Image, count: number, uuid: Buffer): InodeParts {
  const start = image.blocks.takeNew(count);
  const extents = extentsFrom(start, count);
  image.disk.write((extents[0]?.physical ?? 0) * blockSize, journalHeader(count, uuid));
  const { bytes, treeBlocks } = writeExtents(extents, image.blocks, image.disk);
  return { links: 1, size: count * blockSize, block: bytes, extents: true, blocks: count + treeBlocks };
}

/** A place for e2fsck to put what it finds; it wants one, and the image may bring its own. */
function ensureLostAndFound(image: Ext4Image, seconds: number): void {
  const name = "lost+found";
  if (image.find(rootEntry, name) === 0)
    image.directory(rootEntry, name, { mode: 0o700, uid: 0, gid: 0, seconds, nanoseconds: 0 });
}

/**
 * Writes all that is not file data. The file must be extended to `totalBytes` by the caller.
 * @throws BangerError `image_too_large` when the content does not fit the wanted size.
 */
export function finish(image: Ext4Image, size: Size, identity: Identity): Finished {
  const { blocks, disk, inodes } = image;
  ensureLostAndFound(image, identity.seconds);
  const laid: Laid = { trees: new Map(), xattrBlocks: new Map(), subdirectories: new Map() };
  writeDirectories(image, laid);
  writeXattrs(image, laid);
  writeTrees(image, laid);
  const wanted = size.totalBlocks ?? blocks.next + size.freeBlocks;
  const journal = journalParts(image, journalBlocks(wanted), identity.uuid);
  const resizeBlock = blocks.takeNew(1);
  const geometry = computeGeometry(blocks.next, inodeNumber(inodes.highest), size);
  const resize = resizeParts(disk, geometry, resizeBlock);
  const metadata = { uid: 0, gid: 0, seconds: identity.seconds, nanoseconds: 0, mode: typeBits.file | 0o600 };
  const row = (node: number) => ({
    mode: inodes.mode.get(node),
    uid: inodes.uid.get(node),
    gid: inodes.gid.get(node),
    seconds: inodes.seconds.get(node),
    nanoseconds: inodes.nanoseconds.get(node),
  });
  const result = writeGroups(image, geometry, identity, {
    highest: inodeNumber(inodes.highest),
    journal,
    isUsed: (number) => number < firstInode || inodes.isUsed(nodeOf(number)),
    isDirectory: (number) => inodes.type(nodeOf(number)) === typeBits.directory,
    put(target, at, number) {
      if (number === journalInode) putInode(target, at, metadata, journal);
      else if (number === resizeInode) putInode(target, at, metadata, resize);
      else if (inodes.isUsed(nodeOf(number)))
        putInode(target, at, row(nodeOf(number)), partsOf(image, laid, nodeOf(number)));
    },
  });
  disk.flush();
  return result;
}
