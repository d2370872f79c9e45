/** HalfSipHash-1-3: a hash of names that whoever chose the names cannot make collide, as its key is drawn for each use. */
import { randomBytes } from "node:crypto";

const rotate = (value: number, by: number): number => (value << by) | (value >>> (32 - by));

export class KeyedHash {
  private readonly key0: number;
  private readonly key1: number;

  constructor(key: Buffer = randomBytes(8)) {
    this.key0 = key.readInt32LE(0);
    this.key1 = key.readInt32LE(4);
  }

  /** Of a number and a text whose characters are bytes; any 32 bits. */
  of(number: number, text: string): number {
    let v0 = this.key0;
    let v1 = this.key1;
    let v2 = 0x6c796765 ^ this.key0;
    let v3 = 0x74656462 ^ this.key1;
    const { length } = text;
    // The number comes first, then four bytes at a time; the last word has the length.
    const words = 2 + (length >>> 2);
    for (let word = 0; word < words + 3; word++) {
      let m = 0;
      if (word === 0) m = number;
      else if (word < words) {
        const at = (word - 1) << 2;
        const end = Math.min(4, length - at);
        for (let i = 0; i < end; i++) m |= text.charCodeAt(at + i) << (i << 3);
        if (word === words - 1) m |= length << 24;
      } else if (word === words) v2 ^= 0xff;
      v3 ^= m;
      v0 = (v0 + v1) | 0;
      v1 = rotate(v1, 5) ^ v0;
      v0 = rotate(v0, 16);
      v2 = (v2 + v3) | 0;
      v3 = rotate(v3, 8) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = rotate(v3, 7) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = rotate(v1, 13) ^ v2;
      v2 = rotate(v2, 16);
      v0 ^= m;
    }
    return v1 ^ v3;
  }
}
