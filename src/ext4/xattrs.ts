/** Extended attributes in the two places that ext4 has for them: the inode's tail and a block. */
import { blockSize, inodeSize } from "./layout.js";

export type Xattrs = ReadonlyMap<string, Buffer>;

interface Attribute {
  index: number;
  name: Buffer;
  value: Buffer;
}

const magic = 0xea020000;
const blockHeader = 32;
const extraInodeBytes = 32;
export const inodeXattrOffset = 128 + extraInodeBytes;
const inodeRoom = inodeSize - inodeXattrOffset - 4;
/** EXT4_XATTR_REFCOUNT_MAX: so many inodes may share one block. */
export const sharedBy = 1024;

const prefixes: readonly [string, number][] = [
  ["user.", 1],
  ["trusted.", 4],
  ["security.", 6],
  ["system.", 7],
];
const aclIndex: Readonly<Record<string, number>> = {
  "system.posix_acl_access": 2,
  "system.posix_acl_default": 3,
};
/** Tags of an ACL whose entries name a user or a group. */
const named = new Set([2, 8]);

/** The ext4 form of an access control list, from the form that getxattr(2) gives; undefined when it is none. */
function diskAcl(value: Buffer): Buffer | undefined {
  if (value.length < 4 || value.readUInt32LE(0) !== 2 || (value.length - 4) % 8 !== 0) return undefined;
  const version = Buffer.alloc(4);
  version.writeUInt32LE(1);
  const parts: Buffer[] = [version];
  for (let at = 4; at < value.length; at += 8)
    parts.push(value.subarray(at, at + (named.has(value.readUInt16LE(at)) ? 8 : 4)));
  return Buffer.concat(parts);
}

/** Undefined for a name space that Linux does not have, and for ACLs that are none. */
function attribute(name: string, value: Buffer): Attribute | undefined {
  const index = aclIndex[name];
  if (index !== undefined) {
    const acl = diskAcl(value);
    return acl && { index, name: Buffer.alloc(0), value: acl };
  }
  const prefix = prefixes.find(([text]) => name.startsWith(text) && name.length > text.length);
  return prefix && { index: prefix[1], name: Buffer.from(name.slice(prefix[0].length), "latin1"), value };
}

const padded = (length: number): number => (length + 3) & ~3;
const sizeOf = ({ name, value }: Attribute): number => 16 + padded(name.length) + padded(value.length);

function hashOf({ name, value }: Attribute): number {
  let hash = 0;
  for (const byte of name) hash = (hash << 5) ^ (hash >>> 27) ^ byte;
  const words = Buffer.alloc(padded(value.length));
  value.copy(words);
  for (let at = 0; at < words.length; at += 4) hash = (hash << 16) ^ (hash >>> 16) ^ words.readInt32LE(at);
  return hash >>> 0;
}

/** Entries from `from` on, values from the end down; offsets of values count from `origin`. */
function fill(
  target: Buffer,
  from: number,
  origin: number,
  list: readonly Attribute[],
  hashed: boolean,
): void {
  let at = from;
  let valueEnd = target.length;
  for (const item of list) {
    valueEnd -= padded(item.value.length);
    target.writeUInt8(item.name.length, at);
    target.writeUInt8(item.index, at + 1);
    target.writeUInt16LE(item.value.length === 0 ? 0 : valueEnd - origin, at + 2);
    target.writeUInt32LE(item.value.length, at + 8);
    target.writeUInt32LE(hashed ? hashOf(item) : 0, at + 12);
    item.name.copy(target, at + 16);
    item.value.copy(target, valueEnd);
    at += 16 + padded(item.name.length);
  }
}

/** One set of attributes in its form on disk. */
export interface XattrSet {
  /** For the inode's tail; undefined when the set does not fit there. */
  inode?: Buffer;
  /** For a block of its own, without the reference count. */
  block?: Buffer;
}

/** The length in bytes that a name may have after its prefix. */
const longestName = 255;

/** The set on disk; undefined when nothing of it is kept, "too_large" when even a block cannot hold it. */
export function encodeXattrs(xattrs: Xattrs): XattrSet | "too_large" | undefined {
  const list: Attribute[] = [];
  for (const [name, value] of xattrs) {
    const item = attribute(name, value);
    if (item !== undefined) list.push(item);
  }
  if (list.length === 0) return undefined;
  list.sort((a, b) => a.index - b.index || a.name.length - b.name.length || a.name.compare(b.name));
  const size = list.reduce((sum, item) => sum + sizeOf(item), 4);
  if (size > blockSize - blockHeader || list.some(({ name }) => name.length > longestName))
    return "too_large";
  if (size <= inodeRoom) {
    const tail = Buffer.alloc(inodeSize - inodeXattrOffset);
    tail.writeUInt32LE(magic, 0);
    fill(tail, 4, 4, list, false);
    return { inode: tail };
  }
  const block = Buffer.alloc(blockSize);
  block.writeUInt32LE(magic, 0);
  block.writeUInt32LE(1, 8);
  let hash = 0;
  for (const item of list) hash = (hash << 16) ^ (hash >>> 16) ^ hashOf(item);
  block.writeUInt32LE(hash >>> 0, 12);
  fill(block, blockHeader, 0, list, true);
  return { block };
}
