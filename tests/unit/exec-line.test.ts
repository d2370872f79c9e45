/** The line under a command: connections cut anywhere, and a guest that says what it likes of how far it has come. */
import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import { test } from "node:test";
import fc from "fast-check";
import {
  encodeFrame,
  encodeOffset,
  type Frame,
  FrameReader,
  frameBytes,
  frameType,
} from "../../src/guest/exec-frames.js";
import { ExecLine } from "../../src/guest/exec-line.js";
import { BangerError } from "../../src/lib/errors.js";
import { reached } from "../reached.js";

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** A connection of which the test is the other end. */
class Connection extends Duplex {
  written: Buffer = Buffer.alloc(0);
  override _read(): void {}
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.written = Buffer.concat([this.written, chunk]);
    done();
  }
}

/** A guest that keeps to the protocol: what it sent, and what of the host's frames it has taken. */
class Guest {
  #sent: Buffer = Buffer.alloc(0);
  taken = 0;
  readonly got: Frame[] = [];
  #reader = new FrameReader();
  #connection!: Connection;
  #read = 0;
  readonly #ends: number[] = [];
  #reached = 0;

  attach(received: number): Connection {
    this.#connection = new Connection();
    this.#reader = new FrameReader();
    [this.#read, this.#reached] = [0, received];
    this.#connection.push(encodeFrame(frameType.attached, encodeOffset(this.taken)));
    return this.#connection;
  }

  send(type: number, payload: Uint8Array): void {
    this.#sent = Buffer.concat([this.#sent, encodeFrame(type, payload)]);
    this.#ends.push(this.#sent.length);
  }

  /** Bytes to the end of the frame that is on its way, or is the next. */
  get toNextEnd(): number {
    return (this.#ends.find((end) => end > this.#reached) ?? this.#reached) - this.#reached;
  }

  /** As much as fits on its way: to the host, and from it. */
  carry(downBytes: number, upBytes: number): void {
    const down = this.#sent.subarray(this.#reached, this.#reached + downBytes);
    this.#reached += down.length;
    if (down.length > 0) this.#connection.push(Buffer.from(down));
    const up = this.#connection.written.subarray(this.#read, this.#read + upBytes);
    this.#read += up.length;
    for (const frame of this.#reader.push(up)) {
      this.taken += frameBytes(frame);
      if (frame.type !== frameType.acknowledge) this.got.push(frame);
    }
  }

  cut(): void {
    this.#connection.destroy();
  }
}

const step = fc.oneof(
  fc.record({ is: fc.constant("down" as const), size: fc.integer({ min: 0, max: 9_000 }) }),
  fc.record({ is: fc.constant("up" as const), size: fc.integer({ min: 0, max: 9_000 }) }),
  fc.record({ is: fc.constant("told" as const), size: fc.constant(0) }),
  fc.record({ is: fc.constant("carry" as const), size: fc.integer({ min: 1, max: 12_000 }) }),
  fc.record({ is: fc.constant("cut" as const), size: fc.integer({ min: 0, max: 9_000 }) }),
);

test("whatever is cut when, each frame arrives once and in its order at either end", async (t) => {
  const hit = reached(t, { cut: 200 });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      const guest = new Guest();
      const [down, up, came]: [number[], number[], number[]] = [[], [], []];
      const owner = {
        frame: ({ payload }: Frame) => void came.push(payload.length),
        room: () => {},
        lost: (error: Error) => assert.fail(error),
      };
      const line = new ExecLine(guest.attach(0), owner, async (received) => guest.attach(received));
      await turn();
      for (const { is, size } of steps) {
        if (is === "down") guest.send(frameType.stdout, Buffer.alloc(size, down.push(size)));
        if (is === "up") line.send(frameType.stdin, Buffer.alloc(size, up.push(size)));
        if (is === "told") guest.send(frameType.taken, encodeOffset(guest.taken));
        if (is === "carry") guest.carry(size, 12_001 - size);
        if (is === "cut") {
          // A connection that brings nothing would be waited for longer and longer.
          guest.send(frameType.stdout, Buffer.alloc(1, down.push(1)));
          guest.carry(guest.toNextEnd + size, size);
          await turn();
          guest.cut();
          hit("cut");
        }
        await turn();
      }
      guest.send(frameType.taken, encodeOffset(guest.taken));
      for (let i = 0; i < 3; i++) {
        guest.carry(1_000_000, 1_000_000);
        await turn();
      }
      assert.deepEqual(came, down);
      assert.deepEqual(
        guest.got.map(({ payload }) => payload.length),
        up,
      );
      line.close();
    }),
    { numRuns: 150 },
  );
});

test("a guest that says what it likes ends its own command, and has nothing kept for it", async (t) => {
  const hit = reached<string>(t, { exec_protocol: 50 });
  const offset = fc.oneof(fc.nat(200), fc.constantFrom(2 ** 32, Number.MAX_SAFE_INTEGER));
  const lie = fc.oneof(
    fc.record({
      type: fc.constantFrom(frameType.attached, frameType.taken),
      payload: offset.map(encodeOffset),
    }),
    fc.record({ type: fc.integer({ min: 0, max: 30 }), payload: fc.uint8Array({ maxLength: 12 }) }),
    fc.constant({ type: frameType.stdout as number, payload: new Uint8Array(9) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(lie, { maxLength: 6 }), { maxLength: 6 }), async (connections) => {
      let error: Error | undefined;
      let opened = 0;
      const open = () => {
        const connection = new Connection();
        for (const { type, payload } of connections[opened] ?? [])
          connection.push(encodeFrame(type, payload));
        if (++opened <= connections.length) connection.push(null);
        return connection;
      };
      const owner = { frame: () => {}, room: () => {}, lost: (cause: Error) => void (error ??= cause) };
      const line = new ExecLine(open(), owner, async () => {
        if (opened > connections.length) throw new BangerError("exec_gone", "no more");
        return open();
      });
      for (let i = 0; i < 40 && error === undefined; i++) {
        line.send(frameType.stdin, new Uint8Array(20));
        await turn();
      }
      line.close();
      const code = error instanceof BangerError ? error.code : error === undefined ? "none" : "other";
      assert.notEqual(code, "other", String(error));
      hit(code);
    }),
    { numRuns: 300 },
  );
});

test("a guest that never says what it took is served no longer than it may be behind", () => {
  const connection = new Connection();
  let error: Error | undefined;
  const owner = { frame: () => {}, room: () => {}, lost: (cause: Error) => void (error ??= cause) };
  const line = new ExecLine(connection, owner, async () => connection);
  let sent = 0;
  for (; error === undefined && sent < 100 * 2 ** 20; sent += 16_384) {
    if (sent >= 131_072) assert.equal(line.full, true);
    line.send(frameType.stdin, Buffer.alloc(16_384));
  }
  assert.equal((error as BangerError | undefined)?.code, "exec_protocol");
  assert.ok(sent <= 262_144 + 16_384, `${sent} bytes`);
});
