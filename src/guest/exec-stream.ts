/** The frames of banger-exec: one command's input and output on one byte stream. */
import { BangerError } from "../errors.js";

/** Frame types; below 16 they go to the guest. */
export const execFrame = {
  stdin: 0,
  stdinEof: 1,
  resize: 2,
  signal: 3,
  stdout: 16,
  stderr: 17,
  exit: 18,
  error: 19,
} as const;

const headerBytes = 8;
/** Nobody sends more in one frame; a larger length means that the stream is not what it should be. */
const maximumPayloadBytes = 1024 * 1024;

export interface Frame {
  type: number;
  payload: Buffer;
}

/** Type (u8), three zero bytes, length (u32, little-endian), payload. */
export function encodeFrame(type: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const frame = Buffer.alloc(headerBytes + payload.length);
  frame.writeUInt8(type, 0);
  frame.writeUInt32LE(payload.length, 4);
  frame.set(payload, headerBytes);
  return frame;
}

export function encodeResize(columns: number, rows: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt16LE(columns, 0);
  payload.writeUInt16LE(rows, 2);
  return encodeFrame(execFrame.resize, payload);
}

/** Whole frames out of chunks of any size. Holds one unfinished frame at most. */
export class FrameDecoder {
  #rest: Buffer = Buffer.alloc(0);

  /** The frames that `chunk` completes. @throws BangerError `bad_frame` */
  push(chunk: Uint8Array): Frame[] {
    this.#rest = this.#rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#rest, chunk]);
    const frames: Frame[] = [];
    let at = 0;
    while (this.#rest.length - at >= headerBytes) {
      const length = this.#rest.readUInt32LE(at + 4);
      if (length > maximumPayloadBytes) {
        throw new BangerError("bad_frame", `a frame of ${length} bytes came from the guest`);
      }
      if (this.#rest.length - at < headerBytes + length) break;
      const begin = at + headerBytes;
      frames.push({ type: this.#rest.readUInt8(at), payload: this.#rest.subarray(begin, begin + length) });
      at = begin + length;
    }
    this.#rest = this.#rest.subarray(at);
    return frames;
  }
}
