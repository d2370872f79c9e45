/** Pure: unpacks the legacy LZ4 frame, the form in which `lz4 -l` leaves a kernel. */

/** First four bytes, little-endian. */
export const lz4LegacyMagic = 0x184c2102;

/** Size to which every block but the last unpacks. */
const blockSize = 8 << 20;
const minimumMatch = 4;

/** Reads the further bytes of a length whose nibble was 15. */
function longLength(input: Buffer, at: number): [length: number, at: number] {
  let length = 15;
  for (;;) {
    const byte = input.readUInt8(at++);
    length += byte;
    if (byte !== 255) return [length, at];
  }
}

/** Unpacks one block into `output` from `start`; returns the offset after the last byte written. */
function unpackBlock(input: Buffer, output: Buffer, start: number): number {
  let at = 0;
  let to = start;
  while (at < input.length) {
    const token = input.readUInt8(at++);
    let length = token >> 4;
    if (length === 15) [length, at] = longLength(input, at);
    if (at + length > input.length || to + length > output.length)
      throw new RangeError("LZ4 literals overrun");
    input.copy(output, to, at, at + length);
    at += length;
    to += length;
    if (at >= input.length) break;
    const distance = input.readUInt16LE(at);
    at += 2;
    length = token & 15;
    if (length === 15) [length, at] = longLength(input, at);
    length += minimumMatch;
    const from = to - distance;
    if (distance === 0 || from < start || to + length > output.length)
      throw new RangeError("LZ4 match overruns");
    if (distance >= length) output.copyWithin(to, from, from + length);
    else for (let n = 0; n < length; n++) output[to + n] = output[from + n] as number;
    to += length;
  }
  return to;
}

/**
 * The unpacked content; `size` (bytes) is an upper bound that the caller knows.
 * What follows the last block (the kernel appends its size there) is ignored.
 * @throws RangeError when the input is not such a frame or is damaged.
 */
export function unpackLz4Legacy(input: Buffer, size: number): Buffer {
  if (input.length < 8 || input.readUInt32LE(0) !== lz4LegacyMagic)
    throw new RangeError("not a legacy LZ4 frame");
  const output = Buffer.alloc(size);
  let at = 4;
  let to = 0;
  while (at + 4 < input.length && to % blockSize === 0) {
    const packed = input.readUInt32LE(at);
    at += 4;
    if (at + packed > input.length) throw new RangeError("LZ4 block overruns");
    const end = Math.min(to + blockSize, size);
    to = unpackBlock(input.subarray(at, at + packed), output.subarray(0, end), to);
    at += packed;
  }
  return output.subarray(0, to);
}
