/** Reads an ext4 file without mounting it: an independent look at what the writer wrote, and at no other ext4. */
import { createHash } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";

/** One entry; the same that `listTree` says of a directory of the host. */
export interface Seen {
  type: number;
  mode: number;
  uid: number;
  gid: number;
  links: number;
  /** Content, symlink text, or nothing. */
  hash: string;
  size: number;
  device: string;
  /** Nanoseconds since the epoch; empty for directories. */
  mtime: string;
  xattrs: Record<string, string>;
}

const block = 4096;
const aclNames: Record<number, string> = { 2: "system.posix_acl_access", 3: "system.posix_acl_default" };
const prefixes: Record<number, string> = { 1: "user.", 4: "trusted.", 6: "security.", 7: "system." };
const hashOf = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

export class Ext4Reader {
  private readonly fd: number;
  private readonly perGroup: number;

  constructor(path: string) {
    this.fd = openSync(path, "r");
    const head = this.at(1024, 1024);
    if (head.readUInt16LE(0x38) !== 0xef53) throw new Error("no ext4");
    this.perGroup = head.readUInt32LE(0x28);
  }

  close(): void {
    closeSync(this.fd);
  }

  private at(position: number, length: number): Buffer {
    const bytes = Buffer.alloc(length);
    readSync(this.fd, bytes, 0, length, position);
    return bytes;
  }

  private inode(number: number): Buffer {
    const group = Math.floor((number - 1) / this.perGroup);
    const table = this.at(block + group * 32, 32).readUInt32LE(8);
    return this.at(table * block + ((number - 1) % this.perGroup) * 256, 256);
  }

  private extents(node: Buffer): [number, number, number][] {
    const count = node.readUInt16LE(2);
    const depth = node.readUInt16LE(6);
    const found: [number, number, number][] = [];
    for (let at = 12; at < 12 * (count + 1); at += 12)
      if (depth > 0) found.push(...this.extents(this.at(node.readUInt32LE(at + 4) * block, block)));
      else found.push([node.readUInt32LE(at), node.readUInt32LE(at + 8), node.readUInt16LE(at + 4)]);
    return found;
  }

  private content(inode: Buffer): Buffer {
    const size = inode.readUInt32LE(4) + inode.readUInt32LE(0x6c) * 2 ** 32;
    const bytes = Buffer.alloc(size);
    for (const [logical, physical, count] of this.extents(inode.subarray(0x28, 0x28 + 60)))
      this.at(physical * block, Math.min(count * block, size - logical * block)).copy(bytes, logical * block);
    return bytes;
  }

  private attributes(area: Buffer, from: number, origin: number, into: Record<string, string>): void {
    for (let at = from; at + 4 <= area.length && area.readUInt32LE(at) !== 0; ) {
      const length = area[at] as number;
      const index = area[at + 1] as number;
      const value = origin + area.readUInt16LE(at + 2);
      const name =
        (aclNames[index] ?? prefixes[index] ?? "?") + area.toString("latin1", at + 16, at + 16 + length);
      into[name] = area.subarray(value, value + area.readUInt32LE(at + 8)).toString("base64");
      at += 16 + ((length + 3) & ~3);
    }
  }

  private see(inode: Buffer): Seen {
    const mode = inode.readUInt16LE(0);
    const type = mode & 0o170000;
    const xattrs: Record<string, string> = {};
    if (inode.readUInt32LE(160) === 0xea020000) this.attributes(inode.subarray(164), 0, 0, xattrs);
    const outside = inode.readUInt32LE(0x68);
    if (outside !== 0) this.attributes(this.at(outside * block, block), 32, 0, xattrs);
    const extra = inode.readUInt32LE(0x88);
    const seconds = BigInt(inode.readInt32LE(0x10)) + BigInt(extra & 3) * 2n ** 32n;
    const number = inode.readUInt32LE(0x28) || inode.readUInt32LE(0x2c);
    const isDevice = type === 0o020000 || type === 0o060000;
    const size = inode.readUInt32LE(4);
    let content: Buffer = Buffer.alloc(0);
    if (type === 0o120000)
      content = size < 60 ? Buffer.from(inode.subarray(0x28, 0x28 + size)) : this.content(inode);
    else if (type === 0o100000) content = this.content(inode);
    return {
      type,
      mode: mode & 0o7777,
      uid: inode.readUInt16LE(2) + inode.readUInt16LE(0x78) * 65536,
      gid: inode.readUInt16LE(0x18) + inode.readUInt16LE(0x7a) * 65536,
      links: type === 0o040000 ? 0 : inode.readUInt16LE(0x1a),
      hash: hashOf(content),
      size: content.length,
      device: isDevice ? `${(number >>> 8) & 0xfff}:${(number & 0xff) | ((number >>> 12) & 0xfff00)}` : "",
      mtime: type === 0o040000 ? "" : String(seconds * 1_000_000_000n + BigInt(extra >>> 2)),
      xattrs,
    };
  }

  /** Every entry by its path (bytes as latin1); the root is "". */
  tree(): Map<string, Seen> {
    const found = new Map<string, Seen>();
    const visit = (number: number, path: string): void => {
      const inode = this.inode(number);
      found.set(path, this.see(inode));
      if ((inode.readUInt16LE(0) & 0o170000) !== 0o040000) return;
      const list = this.content(inode);
      for (let at = 0; at < list.length; at += list.readUInt16LE(at + 4)) {
        const child = list.readUInt32LE(at);
        const name = list.toString("latin1", at + 8, at + 8 + (list[at + 6] as number));
        if (child !== 0 && name !== "." && name !== "..")
          visit(child, path === "" ? name : `${path}/${name}`);
      }
    };
    visit(2, "");
    found.delete("lost+found");
    return found;
  }
}
