/** Block groups: how many there are, and their bitmaps, inode tables and descriptors. */
import { BangerError } from "../lib/errors.js";
import type { Blocks } from "./blocks.js";
import type { Ext4Image } from "./image.js";
import type { InodeParts } from "./inodes.js";
import type { Finished } from "./layout.js";
import {
  backupGroups,
  backupLength,
  blockSize,
  blocksPerGroup,
  ceilDivide,
  descriptorsPerBlock,
  hasBackup,
  inodeSize,
  inodesPerBlock,
  maximumGroups,
} from "./layout.js";
import { descriptors, type Geometry, type Group, type Identity, superblock } from "./superblock.js";

export interface Size {
  /** The whole file system; undefined to let content and `freeBlocks` decide. */
  totalBlocks?: number | undefined;
  /** Blocks that must be free at the end. */
  freeBlocks: number;
}

/** One inode for so many bytes of disk, as mke2fs has it, and some to spare. */
const bytesPerInode = 16384;
const spareInodes = 1.1;
const mostInodesPerGroup = 8 * blockSize;

function inodesPerGroup(groups: number, blocks: number, highestInode: number): number {
  const wanted = Math.max(Math.floor((blocks * blockSize) / bytesPerInode), highestInode * spareInodes + 64);
  return ceilDivide(wanted, groups * inodesPerBlock) * inodesPerBlock;
}

/** A last group too short for the copies that it begins with is left away. */
function withoutStub(blocks: number): number {
  const over = blocks % blocksPerGroup;
  const last = Math.floor(blocks / blocksPerGroup);
  return over > 0 && over <= backupLength && hasBackup(last) ? blocks - over : blocks;
}

const mebibytes = (blocks: number): number => ceilDivide(blocks * blockSize, 2 ** 20);

const tooLarge = (needed: number, total: number): BangerError =>
  new BangerError(
    "image_too_large",
    `the image's content takes ${mebibytes(needed)} MiB or more, and its disk has only ${mebibytes(total)} MiB`,
    { hint: "give a larger --size" },
  );

/**
 * The smallest file system that has room for what is there, its tables and the wanted free space.
 * @throws BangerError `image_too_large`
 */
export function computeGeometry(firstFree: number, highestInode: number, size: Size): Geometry {
  let blocks = withoutStub(size.totalBlocks ?? firstFree + size.freeBlocks);
  for (;;) {
    const groups = ceilDivide(blocks, blocksPerGroup);
    if (groups > maximumGroups - 1)
      throw new BangerError("image_too_large", "a root disk can have up to 1 TiB less 128 MiB");
    const perGroup = inodesPerGroup(groups, blocks, highestInode);
    const tables = groups * (2 + ceilDivide(perGroup, inodesPerBlock));
    // Tables do not straddle copies of the superblock: each copy may waste as much as one table.
    const copies = backupGroups.filter((group) => group * blocksPerGroup < blocks).length;
    const needed = firstFree + tables + copies * (backupLength + ceilDivide(perGroup, inodesPerBlock));
    if (perGroup <= mostInodesPerGroup && needed + (size.totalBlocks ? 0 : size.freeBlocks) <= blocks)
      return {
        blocks,
        groups,
        inodesPerGroup: perGroup,
        descriptorBlocks: ceilDivide(groups, descriptorsPerBlock),
      };
    if (size.totalBlocks !== undefined) throw tooLarge(needed, size.totalBlocks);
    // Past a stub, so that leaving it away does not make the disk too small again.
    const grown = Math.max(
      needed + size.freeBlocks,
      perGroup > mostInodesPerGroup ? blocks + blocksPerGroup : 0,
    );
    blocks = withoutStub(grown) < grown ? grown + backupLength : grown;
  }
}

export interface InodeSource {
  /** The highest number in use. */
  highest: number;
  journal: InodeParts;
  isUsed(number: number): boolean;
  isDirectory(number: number): boolean;
  /** Writes the inode of that number, if there is one, into zeros. */
  put(target: Buffer, at: number, number: number): void;
}

const setBits = (bitmap: Buffer, from: number, count: number): void => {
  for (let bit = from; bit < from + count; ) {
    if (bit % 8 === 0 && from + count - bit >= 8) {
      bitmap[bit >>> 3] = 0xff;
      bit += 8;
    } else {
      bitmap[bit >>> 3] = (bitmap[bit >>> 3] as number) | (1 << (bit % 8));
      bit += 1;
    }
  }
};

const clearBits = (bitmap: Buffer, from: number, count: number): void => {
  for (let bit = from; bit < from + count; bit++)
    bitmap[bit >>> 3] = (bitmap[bit >>> 3] as number) & ~(1 << (bit % 8));
};

/** One bit for each block of the file system, whole groups long. */
function blockBitmap(blocks: Blocks, geometry: Geometry): Buffer {
  const bitmap = Buffer.alloc((geometry.groups * blocksPerGroup) / 8);
  setBits(bitmap, 0, blocks.next);
  for (const { start, count } of blocks.freed) clearBits(bitmap, start, count);
  for (const group of backupGroups)
    if (group < geometry.groups) setBits(bitmap, group * blocksPerGroup, backupLength);
  setBits(bitmap, geometry.blocks, geometry.groups * blocksPerGroup - geometry.blocks);
  return bitmap;
}

function clearCount(bitmap: Buffer): number {
  let clear = 0;
  for (const byte of bitmap) for (let bits = ~byte & 0xff; bits !== 0; bits &= bits - 1) clear += 1;
  return clear;
}

/** Places the tables of all groups; only then it is known which blocks are free. */
function place(blocks: Blocks, geometry: Geometry): Group[] {
  const tableBlocks = geometry.inodesPerGroup / inodesPerBlock;
  const groups: Group[] = [];
  for (let number = 0; number < geometry.groups; number++)
    groups.push({
      blockBitmap: blocks.takeNew(1),
      inodeBitmap: blocks.takeNew(1),
      inodeTable: 0,
      freeBlocks: 0,
      freeInodes: 0,
      directories: 0,
      untouched: 0,
    });
  for (const group of groups) group.inodeTable = blocks.takeTogether(tableBlocks);
  return groups;
}

/** The inodes of one group: table and bitmap. */
function writeInodes(
  image: Ext4Image,
  group: Group,
  first: number,
  count: number,
  source: InodeSource,
): void {
  const bitmap = Buffer.alloc(blockSize);
  const block = Buffer.alloc(blockSize);
  let highest = 0;
  for (let i = 0; i < count && first + i <= source.highest; i++) {
    const number = first + i;
    if (i % inodesPerBlock === 0) block.fill(0);
    if (source.isUsed(number)) {
      setBits(bitmap, i, 1);
      highest = i + 1;
      if (source.isDirectory(number)) group.directories += 1;
      source.put(block, (i % inodesPerBlock) * inodeSize, number);
    }
    if (i % inodesPerBlock === inodesPerBlock - 1 || i === count - 1 || number === source.highest)
      image.disk.write((group.inodeTable + Math.floor(i / inodesPerBlock)) * blockSize, block);
  }
  group.untouched = count - highest;
  setBits(bitmap, count, 8 * blockSize - count);
  group.freeInodes = clearCount(bitmap);
  image.disk.write(group.inodeBitmap * blockSize, bitmap);
}

/** Writes all groups' tables, and the superblock with its copies. */
export function writeGroups(
  image: Ext4Image,
  geometry: Geometry,
  identity: Identity,
  source: InodeSource,
): Finished {
  const groups = place(image.blocks, geometry);
  const bitmap = blockBitmap(image.blocks, geometry);
  const free = { blocks: 0, inodes: 0 };
  groups.forEach((group, number) => {
    writeInodes(image, group, number * geometry.inodesPerGroup + 1, geometry.inodesPerGroup, source);
    const bits = bitmap.subarray(number * blockSize, (number + 1) * blockSize);
    group.freeBlocks = clearCount(bits);
    image.disk.write(group.blockBitmap * blockSize, bits);
    free.blocks += group.freeBlocks;
    free.inodes += group.freeInodes;
  });
  const table = descriptors(groups, geometry.inodesPerGroup, identity.uuid);
  for (const group of backupGroups) {
    if (group >= geometry.groups) break;
    const start = group * blocksPerGroup * blockSize;
    const copy = superblock(geometry, identity, free, source.journal, group);
    image.disk.write(start + (group === 0 ? 1024 : 0), copy);
    image.disk.write(start + blockSize, table);
  }
  return {
    totalBytes: geometry.blocks * blockSize,
    usedBytes: (geometry.blocks - free.blocks) * blockSize,
  };
}
