/**
 * The frames of one command, across connections that break. Both directions are counted in bytes from the command's
 * beginning: what the guest may not have yet is kept, and what came is told, so that either side can go on from there.
 */
import type { Duplex } from "node:stream";
import { pause } from "../lib/clock.js";
import { BangerError } from "../lib/errors.js";
import { encodeFrame, encodeOffset, type Frame, FrameReader, frameBytes, frameType } from "./exec-frames.js";

/** Connects to a command anew, which goes on behind what was received of its frames, in bytes. */
export type Reconnect = (received: number) => Promise<Duplex>;

export interface LineOwner {
  frame(frame: Frame): void;
  /** More can be sent. */
  room(): void;
  lost(error: Error): void;
}

/** The guest keeps what it was not told of: it is told long before it has no room left. */
const tellEveryBytes = 65_536;
/** Input is held back when so much is kept, and a guest that never says what it took is not served any longer. */
const keptPauseBytes = 131_072;
const keptMaxBytes = 262_144;
/** Connections in a row that brought nothing; then it is given up. */
const mostFruitless = 5;
const againMs = 100;

export const lost = (cause?: unknown): BangerError =>
  new BangerError("exec_lost", "the connection to the command was lost", { retry: "later", cause });

const garbled = (what: string): BangerError =>
  new BangerError("exec_protocol", `the command's connection ${what}`);

export class ExecLine {
  readonly #owner: LineOwner;
  readonly #reconnect: Reconnect | undefined;
  #connection: Duplex | undefined;
  #reader = new FrameReader();
  #unlisten: () => void = () => {};
  /** Bytes of the guest's frames, as of now and as the guest was told. */
  #received = 0;
  #told = 0;
  /** Frames that the guest may not have taken, from this byte of all that were sent. */
  #kept: Buffer[] = [];
  #keptFrom = 0;
  #keptBytes = 0;
  /** What its first frame says: whether the guest goes on with the command on another connection. */
  #resumable: boolean | undefined;
  /** A connection that goes on with a command is written to when the guest has said what it took. */
  #attached = true;
  #paused = false;
  #fruitless = 0;
  #closed = false;

  constructor(connection: Duplex, owner: LineOwner, reconnect?: Reconnect) {
    this.#owner = owner;
    this.#reconnect = reconnect;
    this.#use(connection);
  }

  /** Whether input should wait. */
  get full(): boolean {
    return this.#connection?.writableNeedDrain !== false || this.#keptBytes >= keptPauseBytes;
  }

  send(type: number, payload?: Uint8Array): void {
    if (this.#closed) return;
    const frame = encodeFrame(type, payload);
    if (this.#resumable !== false) {
      this.#kept.push(frame);
      this.#keptBytes += frame.length;
      if (this.#keptBytes > keptMaxBytes) return this.#fail(garbled("never says what was taken"));
    }
    if (this.#attached) this.#connection?.write(frame);
  }

  pause(): void {
    this.#paused = true;
    this.#connection?.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#connection?.resume();
  }

  /** The connection is of no use any more. */
  close(): void {
    this.#closed = true;
    this.#unlisten();
    this.#connection?.destroy();
    this.#kept = [];
  }

  #use(connection: Duplex): void {
    this.#connection = connection;
    this.#reader = new FrameReader();
    const data = (bytes: Buffer) => this.#take(bytes);
    const drain = () => this.#owner.room();
    const end = () => this.#broken(lost());
    connection.on("data", data).on("drain", drain).on("end", end).on("close", end);
    // For good: what breaks once nobody listens is nobody's concern.
    connection.on("error", (cause) => this.#connection === connection && this.#broken(lost(cause)));
    this.#unlisten = () => {
      connection.off("data", data).off("drain", drain).off("end", end).off("close", end);
    };
    if (this.#paused) connection.pause();
    else connection.resume();
  }

  #take(bytes: Buffer): void {
    const from = this.#reader;
    try {
      for (const frame of from.push(bytes)) {
        if (this.#closed || this.#reader !== from) return;
        this.#takeFrame(frame);
      }
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  #takeFrame(frame: Frame): void {
    if (frame.type === frameType.attached) return this.#attach(frame.payload);
    if (!this.#attached) throw garbled("does not say how far the guest has come");
    if (this.#resumable === undefined) {
      this.#resumable = false;
      this.#kept = [];
      this.#keptBytes = 0;
    }
    this.#received += frameBytes(frame);
    this.#fruitless = 0;
    if (frame.type === frameType.taken) {
      this.#forget(offsetOf(frame));
      this.#owner.room();
    } else {
      this.#owner.frame(frame);
    }
    if (this.#closed || !this.#resumable || this.#received - this.#told < tellEveryBytes) return;
    this.#told = this.#received;
    this.send(frameType.acknowledge, encodeOffset(this.#received));
  }

  /** The guest says of which frames it has taken how much: at the beginning of each connection, and at no other time. */
  #attach(payload: Buffer): void {
    const taken = offsetOf({ type: frameType.attached, payload });
    if (this.#attached && (this.#resumable !== undefined || taken !== 0)) throw garbled("begins twice");
    this.#resumable = true;
    if (this.#attached) return;
    this.#forget(taken);
    for (const frame of this.#kept) this.#connection?.write(frame);
    this.#attached = true;
    this.#owner.room();
  }

  /** Frames before this byte are the guest's. */
  #forget(taken: number): void {
    const bytes = taken - this.#keptFrom;
    // What it said before the connection broke may come behind what it says now.
    if (bytes < 0) return;
    if (bytes > this.#keptBytes) throw garbled("says that it took what it was never sent");
    let left = bytes;
    while (left > 0) {
      const first = this.#kept.shift() as Buffer;
      // It takes whole frames; a part of one would be sent again without its head.
      if (first.length > left) throw garbled("says that it took a part of a frame");
      left -= first.length;
    }
    this.#keptFrom = taken;
    this.#keptBytes -= bytes;
  }

  #broken(error: BangerError): void {
    if (this.#closed) return;
    this.#unlisten();
    this.#connection?.destroy();
    this.#connection = undefined;
    this.#attached = false;
    if (this.#resumable === false || this.#reconnect === undefined || this.#fruitless >= mostFruitless) {
      return this.#fail(error);
    }
    void this.#goOn(this.#reconnect).catch((cause: Error) => this.#fail(cause));
  }

  async #goOn(reconnect: Reconnect): Promise<void> {
    if (this.#fruitless > 0) await pause(againMs * 2 ** this.#fruitless);
    this.#fruitless += 1;
    const connection = await reconnect(this.#received);
    if (this.#closed) connection.destroy();
    else this.#use(connection);
  }

  #fail(error: Error): void {
    if (this.#closed) return;
    this.close();
    this.#owner.lost(error);
  }
}

function offsetOf({ payload }: Frame): number {
  const offset = payload.length === 8 ? payload.readBigUInt64LE() : -1n;
  if (offset < 0n || offset > BigInt(Number.MAX_SAFE_INTEGER))
    throw garbled("carries no number where one must be");
  return Number(offset);
}
