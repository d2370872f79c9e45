/** The frames of the mux, and one of its streams. */
import { Duplex } from "node:stream";
import { BangerError } from "../lib/errors.js";
import { ByteQueue } from "./bytes.js";

export const muxType = { hello: 1, helloAck: 2, open: 3, data: 4, window: 5, end: 6, reset: 7 } as const;

export const headerBytes = 8;
export const payloadMax = 16_384;
/** Un-credited DATA that either side may have in flight on a channel. */
export const windowBytes = 65_536;
const grantMin = windowBytes / 2;

/** A frame as bytes. */
export function muxFrame(kind: number, channel: number, payload?: Uint8Array): Buffer {
  const length = payload?.length ?? 0;
  const bytes = Buffer.allocUnsafe(headerBytes + length);
  bytes.writeUInt8(kind, 0);
  bytes.writeUInt8(0, 1);
  bytes.writeUInt16LE(length, 2);
  bytes.writeUInt32LE(channel, 4);
  if (payload !== undefined) bytes.set(payload, headerBytes);
  return bytes;
}

function credit(bytes: number): Buffer {
  const payload = Buffer.allocUnsafe(4);
  payload.writeUInt32LE(bytes);
  return payload;
}

export function unreachable(message: string, cause?: unknown): BangerError {
  return new BangerError("agent_unreachable", message, { retry: "later", cause });
}

export interface Link {
  send(kind: number, channel: number, payload?: Uint8Array): void;
  forget(channel: number): void;
}

/**
 * One stream. It ends permanently when its peer has sent its end: nobody is left who would read. Of what the guest sends
 * it holds what it granted and one piece that is being read, and nothing that came between.
 */
export class Channel extends Duplex {
  readonly #link: Link;
  readonly #id: number;
  /** Bytes that the guest takes. */
  #maySend = windowBytes;
  /** Bytes that the guest may still send. */
  #granted = windowBytes;
  readonly #received = new ByteQueue();
  #peerEnded = false;
  #wanted = false;
  #over = false;
  #waiting: { chunk: Buffer; done: (error?: Error | null) => void } | undefined;

  constructor(link: Link, id: number) {
    // One piece at a time goes to whoever reads: what the guest sends byte by byte is joined before.
    super({ allowHalfOpen: false, readableHighWaterMark: 1, writableHighWaterMark: payloadMax });
    this.#link = link;
    this.#id = id;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#waiting = { chunk, done };
    this.#sendWaiting();
  }

  override _final(done: (error?: Error | null) => void): void {
    if (!this.#over) this.#link.send(muxType.end, this.#id);
    done();
  }

  override _read(): void {
    this.#wanted = true;
    this.#deliver();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const whole = this.#peerEnded && this.writableFinished;
    if (!whole && !this.#over) this.#link.send(muxType.reset, this.#id);
    this.#over = true;
    this.#received.clear();
    this.#link.forget(this.#id);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.done(error ?? unreachable("the stream to the guest's agent was closed"));
    done(error);
  }

  /** Takes what has come of a frame's data; false when the guest sends more than it may. */
  takeData(bytes: Uint8Array): boolean {
    if (bytes.length > this.#granted || this.#peerEnded) return false;
    this.#granted -= bytes.length;
    this.#received.add(bytes);
    this.#deliver();
    return true;
  }

  /** The guest takes that many bytes more; false when that makes no sense. */
  takeWindow(bytes: number): boolean {
    if (bytes > windowBytes - this.#maySend) return false;
    this.#maySend += bytes;
    this.#sendWaiting();
    return true;
  }

  /** The guest sends no more; false when it has said so before. */
  takeEnd(): boolean {
    if (this.#peerEnded) return false;
    this.#peerEnded = true;
    this.#deliver();
    return true;
  }

  /** The channel is gone at the other side already. */
  break(error: Error): void {
    this.#over = true;
    this.destroy(error);
  }

  #sendWaiting(): void {
    while (this.#waiting !== undefined && this.#maySend > 0) {
      const { chunk, done } = this.#waiting;
      const part = chunk.subarray(0, Math.min(chunk.length, this.#maySend, payloadMax));
      if (part.length > 0) this.#link.send(muxType.data, this.#id, part);
      this.#maySend -= part.length;
      const rest = chunk.subarray(part.length);
      this.#waiting = rest.length > 0 ? { chunk: rest, done } : undefined;
      if (rest.length === 0) done();
    }
  }

  /** Hands on what was received, as far as it is wanted, and grants the guest as much again. */
  #deliver(): void {
    for (let part: Buffer | undefined; this.#wanted; ) {
      part = this.#received.take();
      if (part === undefined) break;
      this.#wanted = this.push(part);
    }
    if (this.#peerEnded) {
      if (this.#received.length === 0) this.push(null);
      return;
    }
    const grant = windowBytes - this.#granted - this.#received.length;
    if (grant >= grantMin && !this.#over) {
      this.#granted += grant;
      this.#link.send(muxType.window, this.#id, credit(grant));
    }
  }
}
