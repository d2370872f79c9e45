/** A directory's blocks: linear lists of names, which every ext4 reads whatever their length. */
import { blockSize, typeBits } from "./layout.js";

const fileTypes: Readonly<Record<number, number>> = {
  [typeBits.file]: 1,
  [typeBits.directory]: 2,
  [typeBits.character]: 3,
  [typeBits.block]: 4,
  [typeBits.fifo]: 5,
  [typeBits.symlink]: 7,
};

export interface Listed {
  name: Buffer;
  /** Number on disk. */
  inode: number;
  type: number;
}

const entryLength = (name: Buffer): number => 8 + ((name.length + 3) & ~3);

/** The blocks of a directory that lists these, "." and ".." among them; each is valid until the next is asked for. */
export function* directoryBlocks(listed: Iterable<Listed>): Generator<Buffer> {
  const block = Buffer.alloc(blockSize);
  let at = 0;
  let previous = 0;
  for (const { name, inode, type } of listed) {
    const length = entryLength(name);
    if (at + length > blockSize) {
      block.writeUInt16LE(blockSize - previous, previous + 4);
      yield block;
      block.fill(0);
      at = 0;
    }
    block.writeUInt32LE(inode, at);
    block.writeUInt16LE(length, at + 4);
    block.writeUInt8(name.length, at + 6);
    block.writeUInt8(fileTypes[type] ?? 0, at + 7);
    name.copy(block, at + 8);
    previous = at;
    at += length;
  }
  block.writeUInt16LE(blockSize - previous, previous + 4);
  yield block;
}
