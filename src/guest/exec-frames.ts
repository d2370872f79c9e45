/** The frames that carry a command's input, output and end over an upgraded connection. */
import { BangerError } from "../lib/errors.js";

export const frameType = {
  stdin: 0,
  stdinEnd: 1,
  resize: 2,
  signal: 3,
  acknowledge: 4,
  stdout: 16,
  stderr: 17,
  exit: 18,
  error: 19,
  stdinCredit: 20,
  attached: 21,
  taken: 22,
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

/** As many bytes as the frame came in. */
export const frameBytes = ({ payload }: Frame): number => headerBytes + payload.length;

/** How far a side has come, for an `acknowledge`, `attached` or `taken` frame. */
export function encodeOffset(offset: number): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeBigUInt64LE(BigInt(offset));
  return payload;
}

/** The size of a terminal, for a `resize` frame. */
export function encodeSize(cols: number, rows: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt16LE(cols, 0);
  payload.writeUInt16LE(rows, 2);
  return payload;
}

/**
 * Cuts a byte stream into frames, however it comes in pieces. Payloads have memory of their own: who keeps one keeps
 * nothing of what came around it.
 */
export class FrameReader {
  readonly #head = Buffer.alloc(headerBytes);
  #headLength = 0;
  #payload: Buffer = Buffer.alloc(0);
  #payloadLength = 0;

  /** The frames that are whole with these bytes. Throws `exec_protocol` when they are none. */
  push(bytes: Buffer): Frame[] {
    const frames: Frame[] = [];
    for (let at = 0; at < bytes.length; ) {
      if (this.#headLength < headerBytes) {
        const copied = bytes.copy(this.#head, this.#headLength, at, at + headerBytes - this.#headLength);
        this.#headLength += copied;
        at += copied;
        if (this.#headLength < headerBytes) break;
        this.#begin();
      }
      const copied = bytes.copy(this.#payload, this.#payloadLength, at);
      this.#payloadLength += copied;
      at += copied;
      if (this.#payloadLength < this.#payload.length) break;
      frames.push({ type: this.#head.readUInt8(0), payload: this.#payload });
      this.#headLength = 0;
    }
    return frames;
  }

  #begin(): void {
    const length = this.#head.readUInt32LE(4);
    if (length > framePayloadMax || this.#head.readUIntLE(1, 3) !== 0) {
      throw new BangerError("exec_protocol", "the command's connection carries invalid data");
    }
    this.#payload = Buffer.allocUnsafeSlow(length);
    this.#payloadLength = 0;
  }
}
