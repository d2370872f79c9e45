/** The host's side of the mux: many byte streams over the one link to a guest's agent. */
import { randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import { BangerError } from "../lib/errors.js";
import { ownCopy } from "./bytes.js";
import {
  Channel,
  headerBytes,
  muxFrame,
  muxType,
  payloadMax,
  unreachable,
  windowBytes,
} from "./mux-channel.js";

const nonceBytes = 16;
export const channelsMax = 64;
/**
 * What the guest may send for channels that are gone, or without content. A stream that is closed here may have a
 * window's worth on its way, frames and all; a guest that sends more than that keeps this process busy for nothing.
 */
export const strayMaxBytes = 8 << 20;
const strayOfStream = 2 * windowBytes;
/** What may wait for a guest that does not read: a window for each stream, and those that it outlived. */
export const unsentMaxBytes = 8 << 20;

export interface MuxOptions {
  /** Runs once, when the guest's agent has answered for the first time. */
  onUp?: () => void;
}

/** The frame that is coming in: its head as far as it has come, then what is left of its payload. */
interface Incoming {
  head: Buffer;
  headLength: number;
  /** Payload bytes to come; meaningless while the head is not whole. */
  left: number;
  /** The payload of a frame other than DATA, as far as anybody reads it. */
  payload: Buffer;
  payloadLength: number;
}

/**
 * Speaks the mux over `link`, from its first byte to its close; another link needs another MuxHost. Streams may be
 * opened at once: what they send is answered when the guest's agent is up. Whatever the guest sends, no more is held
 * than a window and a piece for each open stream, and one read of the link.
 */
export class MuxHost {
  /** Resolves when the link is gone; it never rejects. All streams have been destroyed by then. */
  readonly closed: Promise<void>;
  readonly #link: Duplex;
  readonly #answer: Buffer;
  readonly #onUp: (() => void) | undefined;
  readonly #channels = new Map<number, Channel>();
  readonly #frame: Incoming = {
    head: Buffer.alloc(headerBytes),
    headLength: 0,
    left: 0,
    payload: Buffer.alloc(4),
    payloadLength: 0,
  };
  /** Before the guest has answered: the end of what came, in which the answer may begin. */
  #beforeAnswer: Buffer = Buffer.alloc(0);
  #nextChannel = 1;
  #strayLeft = strayMaxBytes;
  #up = false;
  #failure: BangerError | undefined;

  constructor(link: Duplex, options: MuxOptions = {}) {
    this.#link = link;
    this.#onUp = options.onUp;
    const nonce = randomBytes(nonceBytes);
    this.#answer = muxFrame(muxType.helloAck, 0, nonce);
    this.closed = new Promise((resolve) => {
      link.once("close", () => {
        this.#fail(unreachable("the link to the guest's agent closed"));
        resolve();
      });
    });
    link.on("error", (cause) => this.#fail(unreachable("the link to the guest's agent failed", cause)));
    link.on("end", () => this.#fail(unreachable("the link to the guest's agent ended")));
    link.on("data", (bytes: Buffer) => this.#take(bytes));
    /* Zero bytes complete whatever frame an earlier host left half-sent. */
    link.write(Buffer.concat([Buffer.alloc(payloadMax + headerBytes), muxFrame(muxType.hello, 0, nonce)]));
  }

  /** Whether the guest's agent has answered. */
  get up(): boolean {
    return this.#up;
  }

  /** A new stream. Throws `agent_unreachable` on a closed link, `agent_busy` when too many are open. */
  open(): Duplex {
    if (this.#failure) throw this.#failure;
    if (this.#channels.size >= channelsMax) {
      const message = `more than ${channelsMax} simultaneous exchanges with the guest`;
      throw new BangerError("agent_busy", message, { retry: "later" });
    }
    const id = this.#nextChannel++;
    const channel = new Channel(
      {
        send: (kind, to, payload) => this.#send(kind, to, payload),
        forget: (gone) => this.#forget(gone),
      },
      id,
    );
    this.#channels.set(id, channel);
    this.#send(muxType.open, id);
    return channel;
  }

  /** Closes the link and destroys all streams. */
  destroy(): void {
    this.#fail(unreachable("the link to the guest's agent was closed"));
  }

  #forget(id: number): void {
    if (this.#channels.delete(id)) this.#strayLeft = Math.min(strayMaxBytes, this.#strayLeft + strayOfStream);
  }

  #send(kind: number, channel: number, payload?: Uint8Array): void {
    if (!this.#link.writable) return;
    this.#link.write(muxFrame(kind, channel, payload));
    if (this.#link.writableLength > unsentMaxBytes) {
      this.#fail(unreachable("the guest's agent does not read what it is sent"));
    }
  }

  #fail(error: BangerError): void {
    if (this.#failure) return;
    this.#failure = error;
    for (const channel of [...this.#channels.values()]) channel.break(error);
    this.#link.destroy();
  }

  #take(bytes: Buffer): void {
    let rest = this.#up ? bytes : this.#findAnswer(bytes);
    while (rest.length > 0 && this.#failure === undefined) rest = this.#takeSome(rest);
  }

  /** Drops what was meant for an earlier host, up to the answer to this one's greeting; yields what comes after it. */
  #findAnswer(bytes: Buffer): Buffer {
    const seen = Buffer.concat([this.#beforeAnswer, bytes]);
    const found = seen.indexOf(this.#answer);
    if (found < 0) {
      this.#beforeAnswer = ownCopy(seen.subarray(Math.max(0, seen.length - this.#answer.length + 1)));
      return Buffer.alloc(0);
    }
    this.#up = true;
    this.#onUp?.();
    return seen.subarray(found + this.#answer.length);
  }

  /** Takes bytes of one frame's head, or of its payload; yields the rest. */
  #takeSome(bytes: Buffer): Buffer {
    const frame = this.#frame;
    if (frame.headLength < headerBytes) {
      const copied = bytes.copy(frame.head, frame.headLength, 0, headerBytes - frame.headLength);
      frame.headLength += copied;
      if (frame.headLength === headerBytes) this.#begin(frame);
      return bytes.subarray(copied);
    }
    const part = bytes.subarray(0, frame.left);
    frame.left -= part.length;
    if (frame.head[0] === muxType.data) {
      this.#dispatch(part.length, (channel) => channel.takeData(part));
    } else {
      frame.payloadLength += part.copy(frame.payload, frame.payloadLength);
    }
    if (frame.left === 0) this.#finish(frame);
    return bytes.subarray(part.length);
  }

  #begin(frame: Incoming): void {
    const kind = frame.head.readUInt8(0);
    frame.left = frame.head.readUInt16LE(2);
    frame.payloadLength = 0;
    const known = kind >= muxType.data && kind <= muxType.reset;
    if (!known || frame.left > payloadMax || frame.head.readUInt32LE(4) === 0) {
      this.#fail(unreachable("the link to the guest's agent is out of step"));
      return;
    }
    if (frame.left === 0) this.#finish(frame);
  }

  /** The frame is whole; of DATA everything has been handed on by now. */
  #finish(frame: Incoming): void {
    frame.headLength = 0;
    const length = frame.head.readUInt16LE(2);
    this.#dispatch(headerBytes, (channel) => {
      switch (frame.head[0]) {
        case muxType.data:
          if (length === 0) this.#stray(headerBytes);
          return true;
        case muxType.window: {
          const granted = frame.payload.readUInt32LE();
          if (granted === 0) this.#stray(headerBytes);
          return length === 4 && channel.takeWindow(granted);
        }
        case muxType.end:
          return channel.takeEnd();
        default:
          channel.break(unreachable("the guest's agent broke off the stream"));
          return true;
      }
    });
  }

  /** Bytes came of which nothing follows. */
  #stray(size: number): void {
    this.#strayLeft -= size;
    if (this.#strayLeft < 0) this.#fail(unreachable("the guest's agent sends unrequested data"));
  }

  /** Hands something of the present frame to its channel; `size` counts where that is gone. */
  #dispatch(size: number, hand: (channel: Channel) => boolean): void {
    const channel = this.#channels.get(this.#frame.head.readUInt32LE(4));
    if (channel === undefined) {
      /* A frame for a channel that is gone was on its way when it went. */
      this.#stray(size);
    } else if (!hand(channel)) {
      channel.destroy(unreachable("the guest's agent exceeds its window"));
    }
  }
}
