/** Extent trees: which blocks of the disk a file's blocks are. */
import type { Blocks, Run } from "./blocks.js";
import { runsOf } from "./blocks.js";
import type { Disk } from "./disk.js";
import { blockSize, ceilDivide, longestExtent } from "./layout.js";

export interface Extent {
  /** Block of the file. */
  logical: number;
  /** Block of the disk. */
  physical: number;
  count: number;
}

export interface ExtentRoot {
  /** The 60 bytes of i_block. */
  bytes: Buffer;
  /** Blocks that the tree itself takes. */
  treeBlocks: number;
}

const magic = 0xf30a;
const nodeBytes = 12;
const rootBytes = 60;
const inRoot = 4;
const inBlock = Math.floor((blockSize - nodeBytes) / nodeBytes);

/** Extents that begin at `logical` and lie in these runs. */
export function extentsOf(logical: number, runs: readonly Run[]): Extent[] {
  const extents: Extent[] = [];
  let at = logical;
  for (const run of runs) {
    for (let done = 0; done < run.count; done += longestExtent) {
      const count = Math.min(longestExtent, run.count - done);
      extents.push({ logical: at, physical: run.start + done, count });
      at += count;
    }
  }
  return extents;
}

export const extentsFrom = (start: number, count: number): Extent[] => extentsOf(0, runsOf(start, count));

function node(bytes: Buffer, depth: number, children: readonly Extent[]): Buffer {
  bytes.writeUInt16LE(magic, 0);
  bytes.writeUInt16LE(children.length, 2);
  bytes.writeUInt16LE(bytes.length === blockSize ? inBlock : inRoot, 4);
  bytes.writeUInt16LE(depth, 6);
  children.forEach(({ logical, physical, count }, i) => {
    const at = nodeBytes * (i + 1);
    bytes.writeUInt32LE(logical, at);
    if (depth === 0) {
      bytes.writeUInt16LE(count, at + 4);
      bytes.writeUInt32LE(physical, at + 8);
    } else bytes.writeUInt32LE(physical, at + 4);
  });
  return bytes;
}

/** Whether the extents fit the inode itself. */
export const fitInode = (extents: readonly Extent[]): boolean => extents.length <= inRoot;

/** The inode's part of the tree; the other nodes are written to blocks of their own. */
export function writeExtents(extents: readonly Extent[], blocks: Blocks, disk: Disk): ExtentRoot {
  let level = extents;
  let depth = 0;
  let treeBlocks = 0;
  while (level.length > inRoot) {
    const parents: Extent[] = [];
    for (let i = 0; i < ceilDivide(level.length, inBlock); i++) {
      const children = level.slice(i * inBlock, (i + 1) * inBlock);
      const physical = blocks.takeNew(1);
      disk.write(physical * blockSize, node(Buffer.alloc(blockSize), depth, children));
      parents.push({ logical: (children[0] as Extent).logical, physical, count: 0 });
    }
    treeBlocks += parents.length;
    level = parents;
    depth += 1;
  }
  return { bytes: node(Buffer.alloc(rootBytes), depth, level), treeBlocks };
}

/** The inode's part of a tree whose extents fit it, put into 60 zero bytes. */
export const inodeExtents = (extents: readonly Extent[], into: Buffer): ExtentRoot => ({
  bytes: node(into, 0, extents),
  treeBlocks: 0,
});
