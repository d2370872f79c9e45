/** A guest that does its worst: whatever its agent sends, what is kept of it has a bound. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duplex, Writable } from "node:stream";
import { afterEach, beforeEach, describe, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { AgentClient } from "../../src/guest/agent.js";
import { encodeFrame, frameType } from "../../src/guest/exec-frames.js";
import { ExecClient } from "../../src/guest/exec-stream.js";
import { MuxHost, strayMaxBytes, unsentMaxBytes } from "../../src/guest/mux.js";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

const mebibyte = 2 ** 20;
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** What this process keeps, in MiB, once all that can go is gone. */
async function keptMiB(): Promise<number> {
  for (let i = 0; i < 5; i++) {
    await turn();
    collect();
  }
  const { arrayBuffers, heapUsed } = process.memoryUsage();
  return (arrayBuffers + heapUsed) / mebibyte;
}

const [helloAck, data, window, end, reset] = [2, 4, 5, 6, 7];

function frame(type: number, channel: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt8(type, 0);
  header.writeUInt16LE(payload.length, 2);
  header.writeUInt32LE(channel, 4);
  return Buffer.concat([header, payload]);
}

const http = (head: string, body = ""): Buffer => Buffer.from(`HTTP/1.1 ${head}\r\n\r\n${body}`);

/** An agent that says what it wants over a real socket, once it has answered the host's greeting. */
class Hostile {
  readonly #directory = mkdtempSync(join(tmpdir(), "banger-hostile-"));
  readonly #server = createServer();
  readonly #credit = new Map<number, number>();
  #bytes: Buffer = Buffer.alloc(0);
  #wake: () => void = () => {};
  readonly up: Promise<Socket>;
  peer!: Socket;
  readonly mux: MuxHost;
  readonly client: AgentClient;

  constructor() {
    const path = join(this.#directory, "agent.sock");
    this.up = once(this.#server, "connection").then(([socket]) => this.#greet(socket as Socket));
    this.#server.listen(path);
    this.mux = new MuxHost(connect(path));
    this.client = new AgentClient(() => this.mux.open());
  }

  #greet(socket: Socket): Promise<Socket> {
    this.peer = socket;
    const hello = Buffer.from([1, 0, 16, 0, 0, 0, 0, 0]);
    for (const name of ["error", "close", "drain"]) socket.on(name, () => this.#wake());
    return new Promise((resolve) => {
      let greeted = false;
      socket.on("data", (chunk) => {
        this.#bytes = Buffer.concat([this.#bytes, chunk]);
        const at = greeted ? -1 : this.#bytes.indexOf(hello);
        if (at >= 0 && this.#bytes.length >= at + 24) {
          greeted = true;
          socket.write(frame(helloAck, 0, this.#bytes.subarray(at + 8, at + 24)));
          this.#bytes = this.#bytes.subarray(at + 24);
          resolve(socket);
        }
        if (greeted) this.#takeCredit();
      });
    });
  }

  #takeCredit(): void {
    while (this.#bytes.length >= 8 && this.#bytes.length >= 8 + this.#bytes.readUInt16LE(2)) {
      const channel = this.#bytes.readUInt32LE(4);
      if (this.#bytes[0] === window) this.#grant(channel, this.#bytes.readUInt32LE(8));
      if (this.#bytes[0] === reset) this.#grant(channel, Number.POSITIVE_INFINITY);
      this.#bytes = this.#bytes.subarray(8 + this.#bytes.readUInt16LE(2));
    }
    this.#wake();
  }

  #grant(channel: number, bytes: number): void {
    this.#credit.set(channel, (this.#credit.get(channel) ?? 65_536) + bytes);
  }

  /** A stream whose end is nobody's concern. */
  open(): Duplex {
    return this.mux.open().on("error", () => {});
  }

  /** Sends without regard for credit; resolves when more can be sent, or nobody takes anything any more. */
  async write(bytes: Buffer): Promise<void> {
    this.peer.write(bytes);
    while (this.peer.writableNeedDrain && !this.peer.destroyed) await this.#woken();
  }

  /** Sends as much of a stream's data as the host takes. */
  async send(channel: number, payload: Buffer): Promise<void> {
    while ((this.#credit.get(channel) ?? 65_536) < payload.length && !this.peer.destroyed)
      await this.#woken();
    this.#grant(channel, -payload.length);
    await this.write(frame(data, channel, payload));
  }

  #woken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  async end(): Promise<void> {
    this.mux.destroy();
    (await this.up).destroy();
    this.#server.close();
    rmSync(this.#directory, { recursive: true });
  }
}

describe("over the mux", () => {
  let guest: Hostile;
  beforeEach(async () => {
    guest = new Hostile();
    await guest.up;
  });
  afterEach(() => guest.end());

  test("a stream that nobody reads keeps its own bytes, not what comes between them", async () => {
    let read = 0;
    guest.open();
    guest.open().on("data", (bytes: Buffer) => {
      read += bytes.length;
    });
    const between = Buffer.alloc(16_384);
    const before = await keptMiB();
    for (let i = 0; i < 2_000; i++) {
      await guest.send(1, Buffer.from("z"));
      for (let j = 0; j < 4; j++) await guest.send(2, between);
    }
    const kept = (await keptMiB()) - before;
    assert.equal(read, 2_000 * 4 * between.length);
    assert.ok(kept < 4, `${kept} MiB are kept of 125 MiB`);
  });

  test("what nobody asked for ends the link, after more than an honest guest has on its way", async () => {
    const payload = Buffer.alloc(16_384);
    // A command whose reader goes away, again and again: each leaves a window's worth on its way.
    for (let channel = 1; channel <= 400; channel++) {
      guest.open().destroy();
      for (let i = 0; i < 4; i++) await guest.send(channel, payload);
    }
    const last = guest.open();
    await guest.send(401, Buffer.from("!"));
    assert.equal(String((await once(last, "data"))[0]), "!");
    for (let sent = 0; sent < 4 * strayMaxBytes && !guest.peer.destroyed; sent += payload.length) {
      await guest.write(frame(data, 1_000_000, payload));
    }
    guest.peer.destroy();
    await guest.mux.closed;
    assert.throws(() => guest.mux.open(), { code: "agent_unreachable", message: /unrequested data/ });
  });

  test("frames that carry nothing end the link too", async () => {
    guest.open();
    const nothing = [frame(data, 1), frame(window, 1, Buffer.alloc(4))];
    const unit = Buffer.concat(Array(2_000).fill(Buffer.concat(nothing)));
    for (let sent = 0; sent < 4 * strayMaxBytes && !guest.peer.destroyed; sent += unit.length) {
      await guest.write(unit);
    }
    guest.peer.destroy();
    await guest.mux.closed;
    assert.throws(() => guest.open(), { message: /unrequested data/ });
  });

  test("a guest that reads nothing ends the link before what waits for it has grown", async () => {
    guest.peer.pause();
    const before = await keptMiB();
    const block = Buffer.alloc(65_536);
    const fill = () => {
      for (let sent = 0; sent < 8 * unsentMaxBytes; sent += block.length) {
        const stream = guest.open();
        stream.write(block);
        stream.destroy();
      }
    };
    assert.throws(fill, { code: "agent_unreachable", message: /does not read/ });
    await guest.mux.closed;
    assert.ok((await keptMiB()) - before < 8);
  });

  test("a reply that is too long is refused", async () => {
    const refused = assert.rejects(guest.client.health(), { code: "agent_garbled" });
    await guest.send(1, http("200 OK\r\nTransfer-Encoding: chunked"));
    const piece = Buffer.from(`1000\r\n${" ".repeat(4096)}\r\n`);
    for (let i = 0; i < 300; i++) await guest.send(1, piece);
    await refused;
  });

  test("a list of ports is told when whoever listens has dealt with the one before", async () => {
    const done = new AbortController();
    let told = 0;
    let free: () => void = () => {};
    const watching = guest.client.watchPorts(() => {
      told += 1;
      return new Promise((resolve) => {
        free = resolve;
      });
    }, done.signal);
    const lines = '{"ports":[]}\n'.repeat(1000);
    const body = `${lines.length.toString(16)}\r\n${lines}\r\n`;
    await guest.send(1, http("200 OK\r\nTransfer-Encoding: chunked", body));
    while (told === 0) await turn();
    for (let i = 0; i < 20; i++) await turn();
    assert.equal(told, 1);
    free();
    while (told === 1) await turn();
    assert.equal(told, 2);
    done.abort();
    free();
    await watching;
  });

  test("a line of ports that never ends is refused", async () => {
    const watching = guest.client.watchPorts(async () => {}, new AbortController().signal);
    const refused = assert.rejects(watching, { code: "agent_garbled" });
    await guest.send(1, http("200 OK\r\nConnection: close"));
    for (let i = 0; i < 66; i++) await guest.send(1, Buffer.alloc(16_000, "x"));
    await refused;
    await guest.write(frame(end, 1));
  });
});

describe("a command's output that nobody reads", () => {
  /** Takes the first piece and is never done with it. */
  class Stuck extends Writable {
    override _write(): void {}
  }
  class Connection extends Duplex {
    override _read(): void {}
    override _write(_chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
      done();
    }
  }
  const creditFrame = encodeFrame(frameType.stdinCredit, Buffer.alloc(4));

  async function keptAfter(unit: Buffer, count: number): Promise<number> {
    const connection = new Connection();
    const running = new ExecClient(connection, { stdout: new Stuck(), stderr: new Stuck() });
    running.result.catch(() => {});
    await turn();
    const before = await keptMiB();
    // Each piece has memory of its own, as what comes from a socket has.
    for (let i = 0; i < count; i++) if (!connection.push(Buffer.concat([unit]))) await turn();
    await turn();
    const kept = (await keptMiB()) - before;
    assert.deepEqual([connection.readableLength, connection.destroyed], [0, false]);
    running.destroy();
    return kept;
  }

  test("is kept byte by byte, without the frames around it", async () => {
    const one = encodeFrame(frameType.stdout, Buffer.from("z"));
    const kept = await keptAfter(Buffer.concat([one, ...Array(1000).fill(creditFrame)]), 8_000);
    assert.ok(kept < 8, `${kept} MiB are kept of 91 MiB`);
  });

  test("is not kept where it is empty", async () => {
    const empty = Array(1000).fill(encodeFrame(frameType.stdout));
    const unit = Buffer.concat([encodeFrame(frameType.stdout, Buffer.from("z")), ...empty]);
    const kept = await keptAfter(unit, 200);
    assert.ok(kept < 2, `${kept} MiB are kept of 200 bytes`);
  });
});
