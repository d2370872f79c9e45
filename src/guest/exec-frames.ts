/** The frames that carry a command's input, output and end over an upgraded connection. */
import { BangerError } from "../errors.js";

export const frameType = {
  stdin: 0,
  stdinEnd: 1,
  resize: 2,
  signal: 3,
  stdout: 16,
  stderr: 17,
  exit: 18,
  error: 19,
  stdinCredit: 20,
} as const;

const headerBytes = 8;
export const framePayloadMax = 16_384;

export interface Frame {
  type: number;
  payload: Buffer;
}

/** One frame as bytes. `payload` is at most 16 KiB. */
export function encodeFrame(type: number, payload: Uint8Array = new Uint8Array(0)): Buffer {
  const bytes = Buffer.alloc(headerBytes + payload.length);
  bytes.writeUInt8(type, 0);
  bytes.writeUInt32LE(payload.length, 4);
  bytes.set(payload, headerBytes);
  return bytes;
}

/** The size of a terminal, for a `resize` frame. */
export function encodeSize(cols: number, rows: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt16LE(cols, 0);
  payload.writeUInt16LE(rows, 2);
  return encodeFrame(frameType.resize, payload);
}

/** Cuts a byte stream into frames, however it comes in pieces. */
export class FrameReader {
  #pending: Buffer = Buffer.alloc(0);

  /** The frames that are whole with these bytes. Throws `exec_protocol` when they are none. */
  push(bytes: Buffer): Frame[] {
    this.#pending = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes]);
    const frames: Frame[] = [];
    let at = 0;
    while (this.#pending.length - at >= headerBytes) {
      const length = this.#pending.readUInt32LE(at + 4);
      if (length > framePayloadMax || this.#pending.readUIntLE(at + 1, 3) !== 0) {
        throw new BangerError("exec_protocol", "the command's connection does not carry what it should");
      }
      const end = at + headerBytes + length;
      if (this.#pending.length < end) break;
      frames.push({
        type: this.#pending.readUInt8(at),
        payload: this.#pending.subarray(at + headerBytes, end),
      });
      at = end;
    }
    this.#pending = this.#pending.subarray(at);
    return frames;
  }
}
