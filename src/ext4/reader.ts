/** Reads an ext4 file system in a file without mounting it: the other half of the writer, for any that mke2fs makes. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { BangerError } from "../lib/errors.js";
import type { Segment } from "./file-data.js";
import type { Attributes } from "./image.js";
import { rootInode, typeBits, typeMask } from "./layout.js";
import { blockXattrs, inodeXattrs, type ReadXattrs } from "./xattr-reader.js";

/** Where the superblock lies, and how long it is. */
const superblockAt = 1024;
const superblockBytes = 1024;

/** Features of ext4, as mke2fs may give them, that reading can do with; what is not among them is refused. */
const known = { fileType: 0x2, extents: 0x40, wide: 0x80, mmp: 0x100, flexible: 0x200, eaInode: 0x400 };
const harmless = { checksumSeed: 0x2000, largeDirectories: 0x4000, inlineData: 0x8000, casefold: 0x20000 };
const readable = [...Object.values(known), ...Object.values(harmless)].reduce((all, bit) => all | bit, 0);
const needsRecovery = 0x4;
/** Among the features that only a writer must know: blocks are handed out in clusters. */
const clustersFlag = 0x200;
const compressedOrEncrypted = 0x800 | 0x4;
const extentsFlag = 0x80000;
const inlineFlag = 0x10000000;
const extentMagic = 0xf30a;
const deepestTree = 5;
/** An extent longer than this has blocks that were never written: they read as zeros. */
const longestWritten = 32768;
const largestDirectory = 1 << 30;
/** Nodes of one file's extent tree: a file in as many pieces as they hold is none that anybody has. */
const mostNodes = 4096;
/** A file's extents are read for its segments and again for its data. */
const mostReadings = 3;
/** A symlink's text is one block at most. */
const longestTarget = 4096;
const largestBlock = 65536;

/** One inode; `attributes.mode` has no type bits. */
export interface Node {
  number: number;
  /** One of `typeBits`. */
  type: number;
  attributes: Attributes;
  size: number;
  links: number;
  /** Of a device. */
  major: number;
  minor: number;
  bytes: Buffer;
}

const unreadable = (why: string, hint?: string): BangerError =>
  new BangerError("rootfs_unreadable", `the root disk cannot be read: ${why}`, hint ? { hint } : {});

const device = (block: Buffer): { major: number; minor: number } => {
  const number = block.readUInt32LE(0) || block.readUInt32LE(4);
  return { major: (number >>> 8) & 0xfff, minor: (number & 0xff) | ((number >>> 12) & 0xfff00) };
};

/** @throws BangerError `rootfs_unreadable`, from every method */
export class Ext4Reader {
  /** The superblock as it is: it changes with every mount and every change of what is used. */
  readonly superblock: Buffer;
  private readonly fd: number;
  /** Of the disk, in bytes, and how many bytes of files have been read. */
  private readonly size: number;
  private read = 0;
  private readonly blockSize: number;
  private readonly inodeSize: number;

  constructor(private readonly path: string) {
    this.fd = openSync(path, "r");
    try {
      this.size = fstatSync(this.fd).size;
      this.superblock = this.at(superblockAt, superblockBytes);
      this.check();
      this.blockSize = 1024 << this.superblock.readUInt32LE(0x18);
      this.inodeSize = this.superblock.readUInt16LE(0x58);
      if (this.inodeSize < 128 || this.inodeSize > this.blockSize || this.blockSize > largestBlock)
        throw unreadable("its superblock is damaged");
    } catch (error) {
      this.close();
      throw error;
    }
  }

  private check(): void {
    const { superblock } = this;
    if (superblock.readUInt16LE(0x38) !== 0xef53) throw unreadable("it does not contain an ext4 file system");
    const features = superblock.readUInt32LE(0x60);
    if ((features & needsRecovery) !== 0)
      throw unreadable("it was not unmounted cleanly", `e2fsck -f -p ${this.path}`);
    const clusters = (superblock.readUInt32LE(0x64) & clustersFlag) !== 0;
    if ((features & known.extents) === 0 || (features & ~readable) !== 0 || clusters)
      throw unreadable("it uses features that banger cannot read, or lacks extents");
  }

  /** Seconds since the epoch at which the file system was made. */
  get madeAt(): number {
    return this.superblock.readUInt32LE(0x108);
  }

  close(): void {
    closeSync(this.fd);
  }

  private at(position: number, length: number): Buffer {
    const bytes = Buffer.alloc(length);
    if (!Number.isSafeInteger(position)) throw unreadable("it is damaged");
    if (readSync(this.fd, bytes, 0, length, position) < length) throw unreadable("it is torn");
    return bytes;
  }

  /** What files have: no block belongs to two, so that all of them read as often as we do are not much. */
  private ofFiles(position: number, length: number): Buffer {
    this.read += length;
    if (this.read > mostReadings * this.size) throw unreadable("its files have more blocks than it has");
    return this.at(position, length);
  }

  node(number: number): Node {
    const { superblock, blockSize, inodeSize } = this;
    const perGroup = superblock.readUInt32LE(0x28);
    const wide = (superblock.readUInt32LE(0x60) & known.wide) !== 0;
    const descriptorSize = wide ? superblock.readUInt16LE(0xfe) : 32;
    if (number < 1 || number > superblock.readUInt32LE(0)) throw unreadable(`it has no inode ${number}`);
    const group = Math.floor((number - 1) / perGroup);
    const firstBlock = superblock.readUInt32LE(0x14);
    const descriptor = this.at((firstBlock + 1) * blockSize + group * descriptorSize, descriptorSize);
    const table = descriptor.readUInt32LE(8) + (wide ? descriptor.readUInt32LE(0x28) * 2 ** 32 : 0);
    const bytes = this.at(table * blockSize + ((number - 1) % perGroup) * inodeSize, inodeSize);
    const mode = bytes.readUInt16LE(0);
    const extra = inodeSize > 128 && bytes.readUInt16LE(0x80) >= 12 ? bytes.readUInt32LE(0x88) : 0;
    const attributes: Attributes = {
      mode: mode & ~typeMask,
      uid: bytes.readUInt16LE(0x02) + bytes.readUInt16LE(0x78) * 65536,
      gid: bytes.readUInt16LE(0x18) + bytes.readUInt16LE(0x7a) * 65536,
      seconds: bytes.readInt32LE(0x10) + (extra & 3) * 2 ** 32,
      nanoseconds: extra >>> 2,
      xattrs: this.xattrs(bytes),
    };
    const size = bytes.readUInt32LE(0x04) + bytes.readUInt32LE(0x6c) * 2 ** 32;
    const links = bytes.readUInt16LE(0x1a);
    const type = mode & typeMask;
    return { number, type, attributes, size, links, ...device(bytes.subarray(0x28)), bytes };
  }

  private xattrs(inode: Buffer): ReadXattrs {
    const block = inode.readUInt32LE(0x68) + inode.readUInt16LE(0x76) * 2 ** 32;
    const found: ReadXattrs = new Map([
      ...inodeXattrs(inode),
      ...(block === 0 ? [] : blockXattrs(this.at(block * this.blockSize, this.blockSize))),
    ]);
    // What a file holds that is small enough to lie in its inode; `segments` refuses such a file.
    found.delete("system.data");
    return found;
  }

  /** Where the data of a file lies in the file, holes and what was never written left out. */
  private runs({ bytes, number }: Node): { offset: number; length: number; position: number }[] {
    const flags = bytes.readUInt32LE(0x20);
    if ((flags & compressedOrEncrypted) !== 0) throw unreadable(`inode ${number} is encrypted or compressed`);
    if ((flags & inlineFlag) !== 0) throw unreadable(`inode ${number} holds its data itself`);
    if ((flags & extentsFlag) === 0) throw unreadable(`inode ${number} has no extents, as before ext4`);
    const { blockSize } = this;
    const runs: { offset: number; length: number; position: number }[] = [];
    const damaged = () => unreadable(`the extents of inode ${number} are damaged`);
    let nodes = 0;
    let end = 0;
    const visit = (tree: Buffer, deepest: number): void => {
      const count = tree.readUInt16LE(2);
      const depth = tree.readUInt16LE(6);
      const sound = tree.readUInt16LE(0) === extentMagic && 12 * (count + 1) <= tree.length;
      // A tree may lead to one node again and again, and so take as long as it likes.
      if (!sound || depth > deepest || ++nodes > mostNodes) throw damaged();
      for (let at = 12; at < 12 * (count + 1); at += 12) {
        if (depth > 0) {
          const child = tree.readUInt32LE(at + 4) + tree.readUInt16LE(at + 8) * 2 ** 32;
          visit(this.ofFiles(child * blockSize, blockSize), depth - 1);
          continue;
        }
        const said = tree.readUInt16LE(at + 4);
        const length = said > longestWritten ? said - longestWritten : said;
        const first = tree.readUInt32LE(at);
        // In order and apart, so that a file has no block twice and none is longer than it can be numbered.
        if (length === 0 || first < end) throw damaged();
        end = first + length;
        if (said > longestWritten) continue;
        const physical = tree.readUInt32LE(at + 8) + tree.readUInt16LE(at + 6) * 2 ** 32;
        const offset = first * blockSize;
        runs.push({ offset, length: length * blockSize, position: physical * blockSize });
      }
    };
    visit(bytes.subarray(0x28, 0x28 + 60), deepestTree);
    return runs;
  }

  /** The parts of a file that are no hole, in order, none beyond its end. */
  segments(node: Node): Segment[] {
    return this.runs(node).flatMap(({ offset, length }) =>
      offset < node.size ? [{ offset, length: Math.min(length, node.size - offset) }] : [],
    );
  }

  /** The bytes of `segments`, in order. */
  *data(node: Node, chunkBytes = 1 << 20): Generator<Buffer> {
    for (const { offset, length, position } of this.runs(node)) {
      const end = Math.min(length, node.size - offset);
      for (let done = 0; done < end; done += chunkBytes) {
        const taken = Math.min(chunkBytes, end - done);
        yield this.ofFiles(position + done, taken);
      }
    }
  }

  /** The text of a symlink; its bytes as latin1. */
  target(node: Node): string {
    if (node.size > longestTarget) throw unreadable(`the link in inode ${node.number} is too long`);
    const inInode = (node.bytes.readUInt32LE(0x20) & extentsFlag) === 0 && node.size < 60;
    if (inInode) return node.bytes.toString("latin1", 0x28, 0x28 + node.size);
    return Buffer.concat([...this.data(node)]).toString("latin1");
  }

  /** What a directory lists, but itself and its parent; names as latin1. */
  *entries(node: Node): Generator<{ name: string; inode: number }> {
    if (node.size > largestDirectory) throw unreadable(`directory ${node.number} is larger than any`);
    const { blockSize } = this;
    // The tree over a large directory is dressed as entries without an inode.
    for (const list of this.data(node, blockSize))
      for (let at = 0; at + 8 <= list.length; ) {
        const length = list.readUInt16LE(at + 4);
        if (length < 8 || at + length > list.length) throw unreadable(`directory ${node.number} is damaged`);
        const inode = list.readUInt32LE(at);
        const nameLength = list[at + 6] as number;
        const name = list.toString("latin1", at + 8, at + 8 + nameLength);
        if (inode !== 0 && (nameLength === 0 || nameLength > length - 8 || /[/\0]/.test(name)))
          throw unreadable(`directory ${node.number} is damaged`);
        at += length;
        if (inode !== 0 && name !== "." && name !== "..") yield { name, inode };
      }
  }

  /** The directory of that name below the root; undefined when there is no such directory. */
  directory(name: string): Node | undefined {
    for (const entry of this.entries(this.node(rootInode)))
      if (entry.name === name) {
        const found = this.node(entry.inode);
        return found.type === typeBits.directory ? found : undefined;
      }
    return undefined;
  }
}
