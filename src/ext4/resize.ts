/** The inode that owns the blocks kept for further group descriptors, so that `resize2fs` can use them. */
import type { Disk } from "./disk.js";
import type { InodeParts } from "./inodes.js";
import { backupGroups, blockSize, blocksPerGroup, descriptorBlocks } from "./layout.js";
import type { Geometry } from "./superblock.js";

const pointers = blockSize / 4;
const direct = 12;
const doubleIndirect = 13;

/** Writes the pointers: a double indirect block to the kept blocks, and each of those to its copies. */
export function resizeParts(disk: Disk, geometry: Geometry, doubleBlock: number): InodeParts {
  const double = Buffer.alloc(blockSize);
  const copies = backupGroups.filter((group) => group > 0 && group < geometry.groups);
  let blocks = 1;
  for (let kept = geometry.descriptorBlocks; kept < descriptorBlocks; kept++) {
    const place = 1 + kept;
    double.writeUInt32LE(place, (kept % pointers) * 4);
    const own = Buffer.alloc(blockSize);
    copies.forEach((group, i) => {
      own.writeUInt32LE(place + group * blocksPerGroup, i * 4);
    });
    disk.write(place * blockSize, own);
    blocks += 1 + copies.length;
  }
  disk.write(doubleBlock * blockSize, double);
  const block = Buffer.alloc(60);
  block.writeUInt32LE(doubleBlock, doubleIndirect * 4);
  const size = (pointers * pointers + pointers + direct) * blockSize;
  return { links: 1, size, block, extents: false, blocks };
}
