/** An ext4 file system in the making: entries come in any order, file data goes straight to the disk. */
import { Blocks, type Run, runsOf } from "./blocks.js";
import { Arena } from "./compact.js";
import type { Disk } from "./disk.js";
import { type Extent, extentsOf } from "./extents.js";
import { FileData, type Piece, piecesOf, type Segment, wholePieces } from "./file-data.js";
import { Inodes, type Metadata } from "./inodes.js";
import { blockSize, ceilDivide, typeBits } from "./layout.js";
import { Names, rootEntry } from "./names.js";
import { encodeXattrs, type XattrSet, type Xattrs } from "./xattrs.js";

export interface Attributes extends Metadata {
  xattrs?: Xattrs | undefined;
}

/** An entry that the format cannot hold; the caller knows the entry's path. */
export class Unfit extends Error {}

/** Text up to this length lies in the inode. */
const longestShortLink = 59;
const mostLinks = 65000;
/** Blocks of a file are numbered with 32 bits. */
const largestFile = (2 ** 32 - 1) * blockSize;
/** Distinct sets of attributes are kept in memory. */
const mostXattrBytes = 32 << 20;
const mostSparseExtents = 200_000;

export class Ext4Image {
  readonly names = new Names();
  readonly inodes = new Inodes();
  readonly blocks = new Blocks();
  /** Texts of short symlinks. */
  readonly links = new Arena();
  /** Extents of files with holes; those of others follow from their first block and size. */
  readonly sparse = new Map<number, Extent[]>();
  readonly xattrSets: XattrSet[] = [{}];
  private readonly xattrNumbers = new Map<string, number>();
  private xattrBytes = 0;
  private sparseExtents = 0;
  private steps = 0;
  /** Which layer the entries now made belong to. */
  layer = 0;

  /** `mostSteps`: entries that may be looked at to resolve paths and to take things away, in all. */
  constructor(
    readonly disk: Disk,
    private readonly mostSteps = Number.POSITIVE_INFINITY,
  ) {
    const metadata = { mode: 0o755, uid: 0, gid: 0, seconds: 0, nanoseconds: 0 };
    this.names.bind(rootEntry, this.inodes.add(typeBits.directory, metadata));
  }

  private step(): void {
    if (++this.steps > this.mostSteps) throw new Unfit("the layers take too many steps to combine");
  }

  /** The live entry of that name, or 0. */
  find(directory: number, name: string): number {
    this.step();
    return this.names.find(directory, name);
  }

  /** One of `typeBits`. */
  type(entry: number): number {
    return this.inodes.type(this.names.inode(entry));
  }

  /** Makes a directory or gives new attributes to the one there is; anything else of that name goes. */
  directory(parent: number, name: string, attributes: Attributes): number {
    const there = name === "" ? rootEntry : this.find(parent, name);
    if (there !== 0 && this.type(there) === typeBits.directory) {
      const node = this.names.inode(there);
      this.inodes.describe(node, typeBits.directory, attributes);
      this.inodes.xattrs.set(node, this.xattrNumber(attributes.xattrs));
      this.names.stamp(there, this.layer);
      return there;
    }
    return this.node(parent, name, typeBits.directory, attributes);
  }

  symlink(parent: number, name: string, target: string, attributes: Attributes): void {
    if (target.length === 0 || target.length >= blockSize)
      throw new Unfit("the link's text is empty or too long");
    const entry = this.node(parent, name, typeBits.symlink, { ...attributes, mode: 0o777 });
    const node = this.names.inode(entry);
    this.inodes.size.set(node, target.length);
    if (target.length <= longestShortLink) this.inodes.start.set(node, this.links.add(target));
    else {
      const block = this.blocks.take(1);
      this.inodes.start.set(node, block);
      this.disk.write(block * blockSize, Buffer.from(target, "latin1"));
      this.disk.padBlock(block * blockSize + target.length);
    }
  }

  /** The text of a symlink. */
  target(entry: number): string {
    const node = this.names.inode(entry);
    const size = this.inodes.size.get(node);
    const start = this.inodes.start.get(node);
    if (size <= longestShortLink) return this.links.text(start);
    return this.disk.read(start * blockSize, size).toString("latin1");
  }

  device(
    parent: number,
    name: string,
    type: number,
    number: { major: number; minor: number },
    attributes: Attributes,
  ): void {
    const { major, minor } = number;
    if (!(major >= 0 && major <= 0xfff && minor >= 0 && minor <= 0xfffff))
      throw new Unfit(`there is no device ${major}:${minor}`);
    const entry = this.node(parent, name, type, attributes);
    const encoded = ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
    this.inodes.start.set(this.names.inode(entry), encoded);
  }

  fifo(parent: number, name: string, attributes: Attributes): void {
    this.node(parent, name, typeBits.fifo, attributes);
  }

  /** One more name for what `target` names. */
  link(parent: number, name: string, target: number): void {
    const node = this.names.inode(target);
    if (this.inodes.type(node) === typeBits.directory) throw new Unfit("it is a hard link to a directory");
    const links = this.inodes.links.get(node) + 1;
    if (links > mostLinks) throw new Unfit("the file has too many hard links");
    const entry = this.names.ensure(parent, name);
    this.names.stamp(entry, this.layer);
    if (this.names.inode(entry) === node) return;
    this.inodes.links.set(node, links);
    this.clear(entry);
    this.names.bind(entry, node);
  }

  /** Makes a file; its data follows through the result, as many bytes as the segments have. */
  file(
    parent: number,
    name: string,
    size: number,
    attributes: Attributes,
    segments?: readonly Segment[],
  ): FileData {
    if (size > largestFile) throw new Unfit("the file is larger than ext4 can hold");
    const node = this.names.inode(this.node(parent, name, typeBits.file, attributes));
    this.inodes.size.set(node, size);
    if (segments !== undefined) return new FileData(this.disk, this.sparsePieces(node, segments));
    const count = ceilDivide(size, blockSize);
    const start = this.blocks.take(count);
    this.inodes.start.set(node, start);
    return new FileData(this.disk, wholePieces(runsOf(start, count), size));
  }

  /** Takes a name away, and with a directory all that is below; entries made by the present layer stay. */
  whiteout(entry: number): void {
    if (this.names.layer(entry) === this.layer && this.type(entry) !== typeBits.directory) return;
    if (!this.empty(entry) && this.names.layer(entry) !== this.layer) this.clear(entry);
  }

  /** Takes away what earlier layers put into a directory; true when something stays. */
  empty(directory: number): boolean {
    if (this.type(directory) !== typeBits.directory) return false;
    // Depth first with a stack of its own: names may nest deeper than calls.
    const found: number[] = [directory];
    for (let i = 0; i < found.length; i++)
      for (const child of this.children(found[i] as number))
        if (this.type(child) === typeBits.directory) found.push(child);
        else if (this.names.layer(child) !== this.layer) this.clear(child);
    for (const each of found.reverse()) {
      if (each === directory || this.names.layer(each) === this.layer) continue;
      if (this.isEmpty(each)) this.clear(each);
    }
    return !this.isEmpty(directory);
  }

  /** The live entries of a directory; passing a name that was taken away is a step as well. */
  private *children(directory: number): Generator<number> {
    for (const entry of this.names.all(directory)) {
      this.step();
      if (this.names.inode(entry) !== 0) yield entry;
    }
  }

  private isEmpty(directory: number): boolean {
    return this.children(directory).next().done === true;
  }

  private node(parent: number, name: string, type: number, attributes: Attributes): number {
    const xattrs = this.xattrNumber(attributes.xattrs);
    const entry = this.names.ensure(parent, name);
    if (this.names.inode(entry) !== 0) this.remove(entry);
    const node = this.inodes.add(type, attributes);
    this.inodes.xattrs.set(node, xattrs);
    this.names.bind(entry, node);
    this.names.stamp(entry, this.layer);
    return entry;
  }

  /** Takes a name away and all below it, whichever layer it came from. */
  private remove(entry: number): void {
    const found: number[] = [entry];
    for (let i = 0; i < found.length; i++)
      if (this.type(found[i] as number) === typeBits.directory)
        for (const child of this.children(found[i] as number)) found.push(child);
    for (const each of found.reverse()) this.clear(each);
  }

  /** Unbinds one name; the inode goes with its last. */
  private clear(entry: number): void {
    const node = this.names.inode(entry);
    if (node === 0) return;
    this.names.bind(entry, 0);
    const links = this.inodes.links.get(node) - 1;
    this.inodes.links.set(node, links);
    if (links > 0) return;
    for (const run of this.dataRuns(node)) this.blocks.freed.push(run);
    this.sparseExtents -= this.sparse.get(node)?.length ?? 0;
    this.sparse.delete(node);
    this.inodes.drop(node);
  }

  /** The blocks with a file's or symlink's data. */
  private dataRuns(node: number): Run[] {
    const type = this.inodes.type(node);
    const size = this.inodes.size.get(node);
    const holed = this.sparse.get(node);
    if (holed !== undefined) return holed.map(({ physical, count }) => ({ start: physical, count }));
    const inBlocks = type === typeBits.file || (type === typeBits.symlink && size > longestShortLink);
    return inBlocks ? runsOf(this.inodes.start.get(node), ceilDivide(size, blockSize)) : [];
  }

  /** Blocks for the parts of a file that are not holes. */
  private sparsePieces(node: number, segments: readonly Segment[]): Piece[] {
    const spans: { first: number; count: number }[] = [];
    for (const { offset, length } of segments) {
      if (length === 0) continue;
      const first = Math.floor(offset / blockSize);
      const after = ceilDivide(offset + length, blockSize);
      const last = spans.at(-1);
      if (last !== undefined && first <= last.first + last.count) last.count = after - last.first;
      else spans.push({ first, count: after - first });
    }
    const extents = spans.flatMap(({ first, count }) =>
      extentsOf(first, runsOf(this.blocks.takeNew(count), count)),
    );
    this.sparseExtents += extents.length;
    if (this.sparseExtents > mostSparseExtents)
      throw new Unfit("the image has too many pieces of sparse files");
    this.sparse.set(node, extents);
    return piecesOf(extents, segments);
  }

  private xattrNumber(xattrs: Xattrs | undefined): number {
    if (xattrs === undefined || xattrs.size === 0) return 0;
    const key = [...xattrs].map(([name, value]) => `${name}\0${value.toString("base64")}`).join("\0");
    const known = this.xattrNumbers.get(key);
    if (known !== undefined) return known;
    const set = encodeXattrs(xattrs);
    if (set === "too_large") throw new Unfit("its extended attributes are larger than ext4 can hold");
    this.xattrBytes += key.length + blockSize;
    if (this.xattrBytes > mostXattrBytes)
      throw new Unfit("the image has too many different extended attributes");
    const number = set === undefined ? 0 : this.xattrSets.push(set) - 1;
    this.xattrNumbers.set(key, number);
    return number;
  }

  /** The extents of a file, directory or long symlink. */
  extents(node: number): Extent[] {
    return (
      this.sparse.get(node) ??
      extentsOf(0, runsOf(this.inodes.start.get(node), ceilDivide(this.inodes.size.get(node), blockSize)))
    );
  }

  /** The first bytes of a file, up to `limit`. */
  read(entry: number, limit: number): Buffer {
    const node = this.names.inode(entry);
    const size = Math.min(limit, this.inodes.size.get(node));
    const bytes = Buffer.alloc(size);
    for (const { logical, physical, count } of this.extents(node)) {
      const from = logical * blockSize;
      if (from >= size) break;
      this.disk.read(physical * blockSize, Math.min(count * blockSize, size - from)).copy(bytes, from);
    }
    return bytes;
  }
}
