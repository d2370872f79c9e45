/** Pure: extended attributes out of their two places in ext4, in the form that getxattr(2) gives. */
import { BangerError } from "../lib/errors.js";

export type ReadXattrs = Map<string, Buffer>;

const magic = 0xea020000;
const goodOldInode = 128;
const blockHeader = 32;
const prefixes: Readonly<Record<number, string>> = {
  1: "user.",
  2: "system.posix_acl_access",
  3: "system.posix_acl_default",
  4: "trusted.",
  6: "security.",
  7: "system.",
};
const isAcl = (index: number): boolean => index === 2 || index === 3;
/** Tags of an ACL whose entries name a user or a group; the others have no id. */
const named = new Set([2, 8]);
const noId = 0xffffffff;

const damaged = (): BangerError =>
  new BangerError("rootfs_unreadable", "the root disk cannot be read: extended attributes are damaged");

/** The form for programs of an access control list, which has a place for every id. */
function programAcl(value: Buffer): Buffer {
  const version = Buffer.alloc(4);
  version.writeUInt32LE(2);
  const parts: Buffer[] = [version];
  for (let at = 4; at + 4 <= value.length; ) {
    const hasId = named.has(value.readUInt16LE(at));
    const entry = Buffer.alloc(8);
    value.copy(entry, 0, at, at + 4);
    entry.writeUInt32LE(hasId ? value.readUInt32LE(at + 4) : noId, 4);
    parts.push(entry);
    at += hasId ? 8 : 4;
  }
  return Buffer.concat(parts);
}

/** Entries from `from` on; offsets of values count from `origin`. */
function entries(area: Buffer, from: number, origin: number): ReadXattrs {
  const found: ReadXattrs = new Map();
  let room = area.length;
  for (let at = from; at + 4 <= area.length && area.readUInt32LE(at) !== 0; ) {
    if (at + 16 > area.length) throw damaged();
    const nameLength = area.readUInt8(at);
    const index = area.readUInt8(at + 1);
    const start = origin + area.readUInt16LE(at + 2);
    const size = area.readUInt32LE(at + 8);
    const elsewhere = area.readUInt32LE(at + 4) !== 0;
    // Values lie apart from each other; where they overlap, a few bytes would say much.
    room -= size;
    if (
      elsewhere ||
      room < 0 ||
      at + 16 + nameLength > area.length ||
      (size > 0 && start + size > area.length)
    )
      throw damaged();
    const prefix = prefixes[index];
    const value = area.subarray(start, start + size);
    const name = `${prefix}${area.toString("latin1", at + 16, at + 16 + nameLength)}`;
    if (prefix !== undefined) found.set(name, isAcl(index) ? programAcl(value) : Buffer.from(value));
    at += 16 + ((nameLength + 3) & ~3);
  }
  return found;
}

/** Those in the tail of an inode. @throws BangerError `rootfs_unreadable` */
export function inodeXattrs(inode: Buffer): ReadXattrs {
  if (inode.length <= goodOldInode) return new Map();
  const at = goodOldInode + inode.readUInt16LE(goodOldInode);
  if (at + 8 > inode.length || inode.readUInt32LE(at) !== magic) return new Map();
  return entries(inode, at + 4, at + 4);
}

/** Those in a block of their own. @throws BangerError `rootfs_unreadable` */
export function blockXattrs(block: Buffer): ReadXattrs {
  if (block.readUInt32LE(0) !== magic) throw damaged();
  return entries(block, blockHeader, 0);
}
