/** The frames of a command's connection, and the client that wires them to streams. */
import assert from "node:assert/strict";
import { Duplex, PassThrough, Writable } from "node:stream";
import { test } from "node:test";
import fc from "fast-check";
import { encodeFrame, encodeSize, FrameReader, frameType } from "../../src/guest/exec-frames.js";
import { ExecClient } from "../../src/guest/exec-stream.js";
import { reached } from "../reached.js";
import { Sink } from "./agent-process.js";

class FakeConnection extends Duplex {
  readonly #reader = new FrameReader();
  readonly frames: { type: number; payload: Buffer }[] = [];
  override _read(): void {}
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.frames.push(...this.#reader.push(chunk));
    done();
  }
  input(): number {
    return this.frames.reduce(
      (sum, { type, payload }) => sum + (type === frameType.stdin ? payload.length : 0),
      0,
    );
  }
  exit(body: string): void {
    this.push(encodeFrame(frameType.exit, Buffer.from(body)));
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve));
const streams = () => ({ stdout: new Sink(), stderr: new Sink() });

test("frames survive any cut of the byte stream", (t) => {
  const hit = reached(t, { "cut within a frame": 8, "several frames at once": 20 });
  const anyFrame = fc.record({
    type: fc.integer({ min: 0, max: 255 }),
    payload: fc.uint8Array({ maxLength: 300 }),
  });
  fc.assert(
    fc.property(fc.array(anyFrame, { maxLength: 20 }), fc.integer({ min: 1, max: 50 }), (frames, step) => {
      const bytes = Buffer.concat(frames.map(({ type, payload }) => encodeFrame(type, payload)));
      const reader = new FrameReader();
      const read = [];
      if (frames.some(({ payload }) => payload.length > step)) hit("cut within a frame");
      if (frames.some(({ payload }) => 2 * payload.length < step)) hit("several frames at once");
      for (let at = 0; at < bytes.length; at += step)
        read.push(...reader.push(bytes.subarray(at, at + step)));
      assert.deepEqual(
        read.map(({ type, payload }) => ({ type, payload: [...payload] })),
        frames.map(({ type, payload }) => ({ type, payload: [...payload] })),
      );
    }),
  );
});

test("a reader is told by name what is no frame", () => {
  assert.throws(() => new FrameReader().push(Buffer.alloc(8, 0xff)), { code: "exec_protocol" });
  assert.deepEqual(
    encodeFrame(frameType.resize, encodeSize(258, 3)),
    Buffer.from([2, 0, 0, 0, 4, 0, 0, 0, 2, 1, 3, 0]),
  );
});

test("input waits for credit, signals and sizes do not", async () => {
  const connection = new FakeConnection();
  const stdin = new PassThrough({ highWaterMark: 1_000_000 });
  const exec = new ExecClient(connection, { stdin, ...streams() });
  stdin.end(Buffer.alloc(70_000));
  await turn();
  assert.equal(connection.input(), 65_536);
  exec.signal(2);
  exec.resize(80, 24);
  assert.deepEqual(connection.frames.slice(-2), [
    { type: frameType.signal, payload: Buffer.of(2) },
    { type: frameType.resize, payload: Buffer.of(80, 0, 24, 0) },
  ]);
  const credit = Buffer.alloc(4);
  credit.writeUInt32LE(50_000);
  connection.push(encodeFrame(frameType.stdinCredit, credit));
  await turn();
  await turn();
  assert.equal(connection.input(), 70_000);
  assert.equal(connection.frames.at(-1)?.type, frameType.stdinEnd);
  connection.exit('{"code":4}');
  assert.deepEqual(await exec.result, { code: 4 });
  assert.equal(connection.destroyed, true);
});

test("an output that takes no more stops the connection until it drains", async () => {
  const connection = new FakeConnection();
  const written: (() => void)[] = [];
  const stdout = new Writable({
    highWaterMark: 1,
    write: (_chunk, _encoding, done) => void written.push(done),
  });
  const exec = new ExecClient(connection, { stdout, stderr: new Sink() });
  connection.push(encodeFrame(frameType.stdout, Buffer.from("much")));
  await turn();
  assert.equal(connection.isPaused(), true);
  written.shift()?.();
  await turn();
  assert.equal(connection.isPaused(), false);
  connection.exit('{"signal":"SIGKILL","number":9}');
  assert.deepEqual(await exec.result, { signal: "SIGKILL", number: 9 });
});

test("each way to fail has its name", async () => {
  const failures: [string, (connection: FakeConnection) => void][] = [
    ["exec_lost", (connection) => connection.push(null)],
    ["exec_lost", (connection) => connection.destroy(new Error("reset"))],
    ["exec_protocol", (connection) => connection.push(Buffer.alloc(64, 0x77))],
    ["exec_protocol", (connection) => connection.exit("7")],
    ...["256", "-1", "1.5", "1e300", '"0"'].map((code): [string, (connection: FakeConnection) => void] => [
      "exec_protocol",
      (connection) => connection.exit(`{"code":${code}}`),
    ]),
    ["exec_protocol", (connection) => connection.exit('{"signal":"SIGX","number":1000}')],
    ["exec_protocol", (connection) => connection.push(encodeFrame(77))],
    [
      "exec_bad_cwd",
      (connection) =>
        connection.push(encodeFrame(frameType.error, Buffer.from('{"code":"bad_cwd","message":"x"}'))),
    ],
    ["exec_failed", (connection) => connection.push(encodeFrame(frameType.error, Buffer.from("?")))],
  ];
  for (const [code, fail] of failures) {
    const connection = new FakeConnection();
    const exec = new ExecClient(connection, streams());
    fail(connection);
    await assert.rejects(exec.result, { code });
    assert.equal(connection.destroyed, true);
  }
});
