/** Hands out blocks in the order of the disk, past the places kept for copies of the superblock. */
import { BangerError } from "../lib/errors.js";
import { backupGroups, backupLength, blocksPerGroup, maximumGroups } from "./layout.js";

export interface Run {
  start: number;
  count: number;
}

const reserved: readonly number[] = backupGroups.map((group) => group * blocksPerGroup);
const end = maximumGroups * blocksPerGroup;

/** The first usable block at or after `block`. */
function usable(block: number): number {
  const inside = block % blocksPerGroup < backupLength && reserved.includes(block - (block % blocksPerGroup));
  return inside ? block - (block % blocksPerGroup) + backupLength : block;
}

const nextReserved = (block: number): number => reserved.find((start) => start > block) ?? end;

/** The pieces that `count` blocks from `start` on consist of. */
export function runsOf(start: number, count: number): Run[] {
  const runs: Run[] = [];
  let left = count;
  let at = start;
  while (left > 0) {
    at = usable(at);
    const taken = Math.min(left, nextReserved(at) - at);
    runs.push({ start: at, count: taken });
    at += taken;
    left -= taken;
  }
  return runs;
}

/** Of the freed runs so many of the latest are tried for a new file. */
const triedRuns = 32;

export class Blocks {
  /** All blocks from here on are free. */
  next = usable(0);
  readonly freed: Run[] = [];

  /**
   * First of `count` new blocks; `runsOf` tells which they are. Nothing was ever written to them.
   * @throws BangerError `image_too_large`
   */
  takeNew(count: number): number {
    const start = usable(this.next);
    if (start + count > end - blocksPerGroup)
      throw new BangerError("image_too_large", "the image does not fit on a disk of 1 TiB");
    const last = runsOf(start, count).at(-1);
    if (last !== undefined) this.next = last.start + last.count;
    return start;
  }

  /** Like `takeNew`, but in one piece. */
  takeTogether(count: number): number {
    const start = usable(this.next);
    const piece = runsOf(start, count)[0];
    if (piece === undefined || piece.count === count) return this.takeNew(count);
    this.freed.push(piece);
    this.next = piece.start + piece.count;
    return this.takeTogether(count);
  }

  /** Like `takeNew`, but blocks that a removed file had are preferred. */
  take(count: number): number {
    const oldest = Math.max(0, this.freed.length - triedRuns);
    for (let i = this.freed.length - 1; i >= oldest; i--) {
      const run = this.freed[i] as Run;
      if (run.count < count || count === 0) continue;
      const { start } = run;
      run.start += count;
      run.count -= count;
      if (run.count === 0) this.freed.splice(i, 1);
      return start;
    }
    return this.takeNew(count);
  }

  free(start: number, count: number): void {
    this.freed.push(...runsOf(start, count));
  }
}
