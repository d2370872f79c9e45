/** What is known of every inode, in 40 bytes each, and its 256-byte form on disk. */
import { Column } from "./compact.js";
import { firstInode, inodeSize, rootInode, typeMask } from "./layout.js";
import { inodeXattrOffset } from "./xattrs.js";

/** Owner, permissions and times of an entry; the type is said apart. */
export interface Metadata {
  /** Permission bits with setuid, setgid and sticky. */
  mode: number;
  uid: number;
  gid: number;
  /** Time of last change: whole seconds since the epoch, and nanoseconds to add. */
  seconds: number;
  nanoseconds: number;
}

/** Number of the root directory's inode in this table; 0 means none. */
export const rootNode = 1;

/** Numbers on disk begin with the root directory's 2 and continue with the first that is not reserved. */
export const inodeNumber = (node: number): number => (node === rootNode ? rootInode : node - 2 + firstInode);

/** The reverse of `inodeNumber`; 0 for reserved numbers. */
export const nodeOf = (number: number): number => {
  if (number === rootInode) return rootNode;
  return number < firstInode ? 0 : number - firstInode + 2;
};

export class Inodes {
  readonly mode = new Column(Uint16Array);
  readonly links = new Column(Uint16Array);
  readonly uid = new Column(Uint32Array);
  readonly gid = new Column(Uint32Array);
  readonly seconds = new Column(Float64Array);
  readonly nanoseconds = new Column(Uint32Array);
  readonly size = new Column(Float64Array);
  /** First block of a file or directory, place of a short symlink's text, or a device's number. */
  readonly start = new Column(Uint32Array);
  /** Number of the set of extended attributes, 0 for none. */
  readonly xattrs = new Column(Uint32Array);
  private readonly unused: number[] = [];
  private last = 0;

  /** The highest number in use or used before. */
  get highest(): number {
    return this.last;
  }

  add(type: number, metadata: Metadata): number {
    const node = this.unused.pop() ?? ++this.last;
    this.size.set(node, 0);
    this.start.set(node, 0);
    this.xattrs.set(node, 0);
    this.links.set(node, 1);
    this.describe(node, type, metadata);
    return node;
  }

  describe(node: number, type: number, metadata: Metadata): void {
    this.mode.set(node, type | (metadata.mode & 0o7777));
    this.uid.set(node, metadata.uid);
    this.gid.set(node, metadata.gid);
    this.seconds.set(node, metadata.seconds);
    this.nanoseconds.set(node, metadata.nanoseconds);
  }

  type(node: number): number {
    return this.mode.get(node) & typeMask;
  }

  drop(node: number): void {
    this.mode.set(node, 0);
    this.unused.push(node);
  }

  isUsed(node: number): boolean {
    return this.mode.get(node) !== 0;
  }
}

/** What a disk inode has beside its row in the table. */
export interface InodeParts {
  links: number;
  size: number;
  /** The 60 bytes of i_block. */
  block: Buffer;
  /** True when `block` is the root of an extent tree. */
  extents: boolean;
  /** Blocks of 4096 bytes: data, tree and attributes. */
  blocks: number;
  xattrBlock?: number | undefined;
  xattrTail?: Buffer | undefined;
}

const extentsFlag = 0x80000;
const extraSize = 32;
const oldest = -(2 ** 31);
const latest = 2 ** 34 - 2 ** 31 - 1;

/** Writes one inode into `target` at `at`; all that it does not set must be zero there. */
export function putInode(
  target: Buffer,
  at: number,
  { mode, uid, gid, seconds, nanoseconds }: Metadata,
  parts: InodeParts,
): void {
  const time = Math.min(latest, Math.max(oldest, seconds));
  const epoch = Math.floor((time + 2 ** 31) / 2 ** 32);
  const extraTime = ((nanoseconds << 2) | epoch) >>> 0;
  target.writeUInt16LE(mode, at);
  target.writeUInt16LE(uid & 0xffff, at + 0x02);
  target.writeUInt32LE(parts.size % 2 ** 32, at + 0x04);
  for (const offset of [0x08, 0x0c, 0x10, 0x90]) target.writeUInt32LE(time >>> 0, at + offset);
  target.writeUInt16LE(gid & 0xffff, at + 0x18);
  target.writeUInt16LE(parts.links, at + 0x1a);
  target.writeUInt32LE((parts.blocks * 8) % 2 ** 32, at + 0x1c);
  target.writeUInt32LE(parts.extents ? extentsFlag : 0, at + 0x20);
  parts.block.copy(target, at + 0x28);
  target.writeUInt32LE(parts.xattrBlock ?? 0, at + 0x68);
  target.writeUInt32LE(Math.floor(parts.size / 2 ** 32), at + 0x6c);
  target.writeUInt16LE(Math.floor((parts.blocks * 8) / 2 ** 32), at + 0x74);
  target.writeUInt16LE(uid >>> 16, at + 0x78);
  target.writeUInt16LE(gid >>> 16, at + 0x7a);
  target.writeUInt16LE(extraSize, at + 0x80);
  for (const offset of [0x84, 0x88, 0x8c, 0x94]) target.writeUInt32LE(extraTime, at + offset);
  parts.xattrTail?.copy(target, at + inodeXattrOffset, 0, inodeSize - inodeXattrOffset);
}
