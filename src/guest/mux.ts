/** The host's side of the mux: many byte streams over the one link to a guest's agent. */
import { randomBytes } from "node:crypto";
import { Duplex } from "node:stream";
import { BangerError } from "../errors.js";

const type = { hello: 1, helloAck: 2, open: 3, data: 4, window: 5, end: 6, reset: 7 } as const;

const headerBytes = 8;
const payloadMax = 16_384;
const nonceBytes = 16;
/** Un-credited DATA that either side may have in flight on a channel. */
const windowBytes = 65_536;
const grantMin = windowBytes / 2;
export const channelsMax = 64;

export interface MuxOptions {
  /** Runs once, when the guest's agent has answered for the first time. */
  onUp?: () => void;
}

function frame(kind: number, channel: number, payload?: Buffer): Buffer {
  const length = payload?.length ?? 0;
  const bytes = Buffer.allocUnsafe(headerBytes + length);
  bytes.writeUInt8(kind, 0);
  bytes.writeUInt8(0, 1);
  bytes.writeUInt16LE(length, 2);
  bytes.writeUInt32LE(channel, 4);
  payload?.copy(bytes, headerBytes);
  return bytes;
}

function credit(bytes: number): Buffer {
  const payload = Buffer.allocUnsafe(4);
  payload.writeUInt32LE(bytes);
  return payload;
}

function unreachable(message: string, cause?: unknown): BangerError {
  return new BangerError("agent_unreachable", message, { retry: "later", cause });
}

interface Link {
  send(kind: number, channel: number, payload?: Buffer): void;
  forget(channel: number): void;
}

/** One stream. It ends for good when its peer has sent its end: nobody is left who would read. */
class Channel extends Duplex {
  readonly #link: Link;
  readonly #id: number;
  /** Bytes that the guest takes. */
  #maySend = windowBytes;
  /** Bytes that the guest may still send. */
  #granted = windowBytes;
  #received: Buffer[] = [];
  #receivedBytes = 0;
  #peerEnded = false;
  #wanted = false;
  #over = false;
  #waiting: { chunk: Buffer; done: (error?: Error | null) => void } | undefined;

  constructor(link: Link, id: number) {
    super({ allowHalfOpen: false, readableHighWaterMark: payloadMax, writableHighWaterMark: payloadMax });
    this.#link = link;
    this.#id = id;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#waiting = { chunk, done };
    this.#sendWaiting();
  }

  override _final(done: (error?: Error | null) => void): void {
    if (!this.#over) this.#link.send(type.end, this.#id);
    done();
  }

  override _read(): void {
    this.#wanted = true;
    this.#deliver();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const whole = this.#peerEnded && this.writableFinished;
    if (!whole && !this.#over) this.#link.send(type.reset, this.#id);
    this.#over = true;
    this.#received = [];
    this.#link.forget(this.#id);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.done(error ?? unreachable("the stream to the guest's agent was closed"));
    done(error);
  }

  #sendWaiting(): void {
    while (this.#waiting !== undefined && this.#maySend > 0) {
      const { chunk, done } = this.#waiting;
      const part = chunk.subarray(0, Math.min(chunk.length, this.#maySend, payloadMax));
      if (part.length > 0) this.#link.send(type.data, this.#id, part);
      this.#maySend -= part.length;
      const rest = chunk.subarray(part.length);
      this.#waiting = rest.length > 0 ? { chunk: rest, done } : undefined;
      if (rest.length === 0) done();
    }
  }

  /** Hands on what was received, as far as it is wanted, and grants the guest as much again. */
  #deliver(): void {
    while (this.#wanted && this.#received.length > 0) {
      const chunk = this.#received.shift() as Buffer;
      this.#receivedBytes -= chunk.length;
      this.#wanted = this.push(chunk);
    }
    if (this.#peerEnded) {
      if (this.#received.length === 0) this.push(null);
      return;
    }
    const grant = windowBytes - this.#granted - this.#receivedBytes;
    if (grant >= grantMin && !this.#over) {
      this.#granted += grant;
      this.#link.send(type.window, this.#id, credit(grant));
    }
  }

  /** Takes one frame for this channel; false when the guest breaks the rules. */
  accept(kind: number, payload: Buffer): boolean {
    if (kind === type.data) {
      if (payload.length > this.#granted || this.#peerEnded) return false;
      this.#granted -= payload.length;
      this.#receivedBytes += payload.length;
      if (payload.length > 0) this.#received.push(payload);
      this.#deliver();
    } else if (kind === type.window) {
      if (payload.length !== 4 || payload.readUInt32LE() > windowBytes - this.#maySend) return false;
      this.#maySend += payload.readUInt32LE();
      this.#sendWaiting();
    } else if (kind === type.end) {
      if (this.#peerEnded) return false;
      this.#peerEnded = true;
      this.#deliver();
    } else {
      this.break(unreachable("the guest's agent broke the stream off"));
    }
    return true;
  }

  /** The channel is gone at the other side already. */
  break(error: Error): void {
    this.#over = true;
    this.destroy(error);
  }
}

/**
 * Speaks the mux over `link`, from its first byte to its close; another link needs another MuxHost. Streams may be
 * opened at once: what they send is answered when the guest's agent is up.
 */
export class MuxHost {
  /** Resolves when the link is gone; it never rejects. All streams have been destroyed by then. */
  readonly closed: Promise<void>;
  readonly #link: Duplex;
  readonly #answer: Buffer;
  readonly #onUp: (() => void) | undefined;
  readonly #channels = new Map<number, Channel>();
  #pending: Buffer = Buffer.alloc(0);
  #nextChannel = 1;
  #up = false;
  #failure: BangerError | undefined;

  constructor(link: Duplex, options: MuxOptions = {}) {
    this.#link = link;
    this.#onUp = options.onUp;
    const nonce = randomBytes(nonceBytes);
    this.#answer = frame(type.helloAck, 0, nonce);
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
    link.write(Buffer.concat([Buffer.alloc(payloadMax + headerBytes), frame(type.hello, 0, nonce)]));
  }

  /** Whether the guest's agent has answered. */
  get up(): boolean {
    return this.#up;
  }

  /** A new stream. Throws `agent_unreachable` on a closed link, `agent_busy` when too many are open. */
  open(): Duplex {
    if (this.#failure) throw this.#failure;
    if (this.#channels.size >= channelsMax) {
      const message = `more than ${channelsMax} exchanges with the guest at once`;
      throw new BangerError("agent_busy", message, { retry: "later" });
    }
    const id = this.#nextChannel++;
    const channel = new Channel(
      {
        send: (kind, to, payload) => this.#send(kind, to, payload),
        forget: (gone) => this.#channels.delete(gone),
      },
      id,
    );
    this.#channels.set(id, channel);
    this.#send(type.open, id);
    return channel;
  }

  /** Closes the link and destroys all streams. */
  destroy(): void {
    this.#fail(unreachable("the link to the guest's agent was closed"));
  }

  #send(kind: number, channel: number, payload?: Buffer): void {
    /* Windows bound what can pile up here: 64 KiB for each of at most 64 channels. */
    if (this.#link.writable) this.#link.write(frame(kind, channel, payload));
  }

  #fail(error: BangerError): void {
    if (this.#failure) return;
    this.#failure = error;
    for (const channel of [...this.#channels.values()]) channel.break(error);
    this.#link.destroy();
  }

  #take(bytes: Buffer): void {
    this.#pending = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes]);
    if (!this.#up && !this.#findAnswer()) return;
    let at = 0;
    while (this.#pending.length - at >= headerBytes) {
      const kind = this.#pending.readUInt8(at);
      const length = this.#pending.readUInt16LE(at + 2);
      const id = this.#pending.readUInt32LE(at + 4);
      if (kind < type.data || kind > type.reset || length > payloadMax || id === 0) {
        this.#fail(unreachable("the link to the guest's agent is out of step"));
        return;
      }
      const start = at + headerBytes;
      if (this.#pending.length < start + length) break;
      at = start + length;
      this.#dispatch(kind, id, this.#pending.subarray(start, at));
    }
    this.#pending = this.#pending.subarray(at);
  }

  /** Drops what was meant for an earlier host, up to the answer to this one's greeting. */
  #findAnswer(): boolean {
    const found = this.#pending.indexOf(this.#answer);
    if (found < 0) {
      this.#pending = this.#pending.subarray(Math.max(0, this.#pending.length - this.#answer.length + 1));
      return false;
    }
    this.#pending = this.#pending.subarray(found + this.#answer.length);
    this.#up = true;
    this.#onUp?.();
    return true;
  }

  #dispatch(kind: number, id: number, payload: Buffer): void {
    /* A frame for a channel that is gone was on its way when it went. */
    const channel = this.#channels.get(id);
    if (channel !== undefined && !channel.accept(kind, payload)) {
      channel.destroy(unreachable("the guest's agent does not keep to the window"));
    }
  }
}
