/** Where the bytes of a file go on the disk, and their writing in order. */
import { BangerError } from "../lib/errors.js";
import type { Run } from "./blocks.js";
import type { Disk } from "./disk.js";
import type { Extent } from "./extents.js";
import { blockSize } from "./layout.js";

/** Bytes of a sparse file that are no hole. */
export interface Segment {
  /** In the file. */
  offset: number;
  length: number;
}

/** Where bytes of a file go. */
export interface Piece {
  position: number;
  length: number;
}

/** The pieces of a file without holes. */
export function wholePieces(runs: readonly Run[], size: number): Piece[] {
  let left = size;
  return runs.map(({ start, count }) => {
    const length = Math.min(left, count * blockSize);
    left -= length;
    return { position: start * blockSize, length };
  });
}

/** Segments cut where extents end. */
export function piecesOf(extents: readonly Extent[], segments: readonly Segment[]): Piece[] {
  const pieces: Piece[] = [];
  let i = 0;
  for (const segment of segments) {
    let { offset, length } = segment;
    while (length > 0) {
      const extent = extents[i] as Extent;
      const end = (extent.logical + extent.count) * blockSize;
      if (offset >= end) {
        i += 1;
        continue;
      }
      const taken = Math.min(length, end - offset);
      pieces.push({
        position: extent.physical * blockSize + offset - extent.logical * blockSize,
        length: taken,
      });
      offset += taken;
      length -= taken;
    }
  }
  return pieces;
}

/** Takes a file's bytes in order. */
export class FileData {
  private piece = 0;
  private done = 0;

  constructor(
    private readonly disk: Disk,
    private readonly pieces: readonly Piece[],
  ) {}

  write(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length) {
      const piece = this.pieces[this.piece];
      if (piece === undefined) throw new BangerError("internal", "a file received more bytes than its size");
      const taken = Math.min(bytes.length - at, piece.length - this.done);
      this.disk.write(piece.position + this.done, bytes.subarray(at, at + taken));
      at += taken;
      this.done += taken;
      if (this.done === piece.length) {
        this.piece += 1;
        this.done = 0;
      }
    }
  }

  /** To be called after the last byte: no old data stays behind it. */
  end(): void {
    const last = this.pieces.at(-1);
    if (last !== undefined) this.disk.padBlock(last.position + last.length);
  }
}
