/** Writes to the image file through one buffer, so that many small neighbours become one large write. */
import { readSync, writeSync } from "node:fs";
import { blockSize } from "./layout.js";

const bufferBytes = 1 << 20;
const zeros = Buffer.alloc(blockSize);

export class Disk {
  private readonly buffer = Buffer.allocUnsafe(bufferBytes);
  private base = 0;
  private filled = 0;

  constructor(private readonly fd: number) {}

  /** Puts bytes at a position; what lies unwritten between two positions reads as zeros or as it was before. */
  write(position: number, bytes: Buffer): void {
    if (position !== this.base + this.filled) {
      this.flush();
      this.base = position;
    }
    let done = 0;
    while (done < bytes.length) {
      const taken = Math.min(bytes.length - done, bufferBytes - this.filled);
      bytes.copy(this.buffer, this.filled, done, done + taken);
      this.filled += taken;
      done += taken;
      if (this.filled === bufferBytes) this.flush();
    }
  }

  /** Zeros from a position to the end of its block. */
  padBlock(position: number): void {
    const over = position % blockSize;
    if (over !== 0) this.write(position, zeros.subarray(over));
  }

  flush(): void {
    let done = 0;
    while (done < this.filled)
      done += writeSync(this.fd, this.buffer, done, this.filled - done, this.base + done);
    this.base += this.filled;
    this.filled = 0;
  }

  /** Reads back what was written; shorter only at the end of the file. */
  read(position: number, length: number): Buffer {
    this.flush();
    const bytes = Buffer.alloc(length);
    const got = readSync(this.fd, bytes, 0, length, position);
    return bytes.subarray(0, got);
  }
}
