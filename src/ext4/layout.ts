/** Numbers of the ext4 format that this writer uses, and where superblock copies lie. */

export const blockSize = 4096;
export const blocksPerGroup = 8 * blockSize;
export const inodeSize = 256;
export const inodesPerBlock = blockSize / inodeSize;
export const descriptorSize = 32;
export const descriptorsPerBlock = blockSize / descriptorSize;
/** An extent's length has 15 bits and a bit that would say "not initialized". */
export const longestExtent = 32768;

/** Group descriptors in use plus those kept free for `resize2fs`: enough for 1 TiB. */
export const descriptorBlocks = 64;
export const maximumGroups = descriptorBlocks * descriptorsPerBlock;

export const rootInode = 2;
export const resizeInode = 7;
export const journalInode = 8;
export const firstInode = 11;

export const typeMask = 0o170000;
export const typeBits = {
  fifo: 0o010000,
  character: 0o020000,
  directory: 0o040000,
  block: 0o060000,
  file: 0o100000,
  symlink: 0o120000,
} as const;

const isPowerOf = (base: number, value: number): boolean => {
  let power = base;
  while (power < value) power *= base;
  return power === value;
};

/** Whether a group begins with a copy of the superblock and the descriptors (the sparse_super feature). */
export const hasBackup = (group: number): boolean =>
  group <= 1 || isPowerOf(3, group) || isPowerOf(5, group) || isPowerOf(7, group);

/** The groups that hold copies, in order; the first is the superblock's own. */
export const backupGroups: readonly number[] = Array.from(
  { length: maximumGroups },
  (_, group) => group,
).filter(hasBackup);

export const backupLength = 1 + descriptorBlocks;

export const ceilDivide = (value: number, by: number): number => Math.ceil(value / by);

/** What a finished file system takes. */
export interface Finished {
  /** Length of the file that the file system takes. */
  totalBytes: number;
  /** Resource usage without its free blocks. */
  usedBytes: number;
}
