/** The superblock, group descriptors and journal header as bytes. */
import {
  blockSize,
  blocksPerGroup,
  descriptorBlocks,
  descriptorSize,
  descriptorsPerBlock,
  firstInode,
  inodeSize,
  journalInode,
} from "./layout.js";

export interface Geometry {
  blocks: number;
  groups: number;
  inodesPerGroup: number;
  /** Blocks of group descriptors in use. */
  descriptorBlocks: number;
}

export interface Identity {
  /** 16 bytes. */
  uuid: Buffer;
  /** Up to 16 bytes. */
  label: string;
  /** Seconds since the epoch: when the file system was made. */
  seconds: number;
}

export interface Group {
  blockBitmap: number;
  inodeBitmap: number;
  inodeTable: number;
  freeBlocks: number;
  freeInodes: number;
  directories: number;
  /** Inodes at the end of the table that were never used. */
  untouched: number;
}

const compatible = { journal: 0x4, xattrs: 0x8, resizeInode: 0x10, directoryIndex: 0x20 };
const incompatible = { fileType: 0x2, extents: 0x40, flexibleGroups: 0x200 };
const readOnly = { sparseSuper: 0x1, largeFile: 0x2, groupChecksum: 0x10, manyLinks: 0x20, extraSize: 0x40 };
const all = (bits: Readonly<Record<string, number>>): number =>
  Object.values(bits).reduce((sum, bit) => sum | bit, 0);

/** What the journal's inode holds, kept in the superblock too. */
export interface JournalCopy {
  block: Buffer;
  size: number;
}

export function superblock(
  geometry: Geometry,
  identity: Identity,
  free: { blocks: number; inodes: number },
  journal: JournalCopy,
  group: number,
): Buffer {
  const bytes = Buffer.alloc(1024);
  const put32 = (at: number, value: number): unknown => bytes.writeUInt32LE(value, at);
  const put16 = (at: number, value: number): unknown => bytes.writeUInt16LE(value, at);
  put32(0x00, geometry.groups * geometry.inodesPerGroup);
  put32(0x04, geometry.blocks);
  put32(0x0c, free.blocks);
  put32(0x10, free.inodes);
  put32(0x18, 2);
  put32(0x1c, 2);
  put32(0x20, blocksPerGroup);
  put32(0x24, blocksPerGroup);
  put32(0x28, geometry.inodesPerGroup);
  put32(0x30, identity.seconds);
  put16(0x36, 0xffff);
  put16(0x38, 0xef53);
  put16(0x3a, 1);
  put16(0x3c, 1);
  put32(0x40, identity.seconds);
  put32(0x4c, 1);
  put32(0x54, firstInode);
  put16(0x58, inodeSize);
  put16(0x5a, group);
  put32(0x5c, all(compatible));
  put32(0x60, all(incompatible));
  put32(0x64, all(readOnly));
  identity.uuid.copy(bytes, 0x68);
  bytes.write(identity.label, 0x78, 16);
  put16(0xce, descriptorBlocks - geometry.descriptorBlocks);
  put32(0xe0, journalInode);
  // Directories that grow in the guest get an index, hashed with half MD4 and this seed.
  identity.uuid.copy(bytes, 0xec);
  bytes.writeUInt8(1, 0xfc);
  bytes.writeUInt8(1, 0xfd);
  // Mounted with user_xattr and acl unless told otherwise.
  put32(0x100, 0xc);
  put32(0x108, identity.seconds);
  journal.block.copy(bytes, 0x10c);
  put32(0x10c + 60, Math.floor(journal.size / 2 ** 32));
  put32(0x10c + 64, journal.size % 2 ** 32);
  put16(0x15c, 32);
  put16(0x15e, 32);
  put32(0x160, 1);
  bytes.writeUInt8(4, 0x174);
  return bytes;
}

const crcTable = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xa001 : crc >>> 1;
  return crc;
});

const crc16 = (start: number, bytes: Buffer): number =>
  bytes.reduce((crc, byte) => (crc >>> 8) ^ (crcTable[(crc ^ byte) & 0xff] as number), start);

const untouchedInodes = 1;
const zeroedTable = 4;

/** All group descriptors, in whole blocks. */
export function descriptors(groups: readonly Group[], inodesPerGroup: number, uuid: Buffer): Buffer {
  const blocks = Math.ceil(groups.length / descriptorsPerBlock);
  const bytes = Buffer.alloc(blocks * blockSize);
  const uuidCrc = crc16(0xffff, uuid);
  groups.forEach((group, number) => {
    const one = bytes.subarray(number * descriptorSize, (number + 1) * descriptorSize);
    one.writeUInt32LE(group.blockBitmap, 0);
    one.writeUInt32LE(group.inodeBitmap, 4);
    one.writeUInt32LE(group.inodeTable, 8);
    one.writeUInt16LE(group.freeBlocks, 12);
    one.writeUInt16LE(group.freeInodes, 14);
    one.writeUInt16LE(group.directories, 16);
    one.writeUInt16LE(zeroedTable | (group.untouched === inodesPerGroup ? untouchedInodes : 0), 18);
    one.writeUInt16LE(group.untouched, 28);
    const numberBytes = Buffer.alloc(4);
    numberBytes.writeUInt32LE(number);
    one.writeUInt16LE(crc16(crc16(uuidCrc, numberBytes), one.subarray(0, 30)), 30);
  });
  return bytes;
}

/** Blocks of the journal, in the proportion that mke2fs has. */
export function journalBlocks(blocks: number): number {
  if (blocks < 32768) return 1024;
  if (blocks < 256 * 1024) return 4096;
  if (blocks < 512 * 1024) return 8192;
  return 16384;
}

/** The first block of an empty journal (JBD2 superblock, version 2; big-endian). */
export function journalHeader(blocks: number, uuid: Buffer): Buffer {
  const bytes = Buffer.alloc(blockSize);
  bytes.writeUInt32BE(0xc03b3998, 0);
  bytes.writeUInt32BE(4, 4);
  bytes.writeUInt32BE(blockSize, 12);
  bytes.writeUInt32BE(blocks, 16);
  bytes.writeUInt32BE(1, 20);
  bytes.writeUInt32BE(1, 24);
  uuid.copy(bytes, 48);
  bytes.writeUInt32BE(1, 64);
  return bytes;
}
