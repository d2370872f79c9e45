/** The mux: the host's side against a guest made of raw frames, and the real agent against raw bytes. */
import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import { test } from "node:test";
import { AgentClient } from "../../src/guest/agent.js";
import { channelsMax, MuxHost } from "../../src/guest/mux.js";
import { eventually, run, startAgent } from "./agent-process.js";

const helloAck = 2;
const open = 3;
const data = 4;
const window = 5;
const end = 6;
const reset = 7;
const preambleBytes = 16_384 + 8;

function frame(type: number, channel: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt8(type, 0);
  header.writeUInt16LE(payload.length, 2);
  header.writeUInt32LE(channel, 4);
  return Buffer.concat([header, payload]);
}

function hello(nonce: string): Buffer {
  return Buffer.concat([Buffer.alloc(preambleBytes), frame(1, 0, Buffer.from(nonce))]);
}

/** A link whose other end is this test. */
class FakeLink extends Duplex {
  written = Buffer.alloc(0);
  override _read(): void {}
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.written = Buffer.concat([this.written, chunk]);
    done();
  }
  get nonce(): Buffer {
    return this.written.subarray(preambleBytes + 8, preambleBytes + 24);
  }
  /** The frames that the host sent after its greeting. */
  frames(): { type: number; channel: number; payload: Buffer }[] {
    const found = [];
    for (let at = preambleBytes + 24; at < this.written.length; ) {
      const length = this.written.readUInt16LE(at + 2);
      const payload = this.written.subarray(at + 8, at + 8 + length);
      found.push({ type: this.written.readUInt8(at), channel: this.written.readUInt32LE(at + 4), payload });
      at += 8 + length;
    }
    return found;
  }
  sentData(): number {
    return this.frames().reduce((sum, { type, payload }) => sum + (type === data ? payload.length : 0), 0);
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test("what was meant for an earlier host is dropped, up to the answer to this one", async () => {
  const link = new FakeLink();
  let ups = 0;
  const mux = new MuxHost(link, { onUp: () => ups++ });
  assert.ok(link.written.subarray(0, preambleBytes).every((byte) => byte === 0));
  const stream = mux.open();
  const stale = Buffer.concat([
    frame(data, 1, Buffer.from("stale")).subarray(3),
    frame(helloAck, 0, Buffer.alloc(16)),
  ]);
  const answer = Buffer.concat([stale, frame(helloAck, 0, link.nonce), frame(data, 1, Buffer.from("fresh"))]);
  for (const byte of answer) link.push(Buffer.of(byte));
  assert.equal(String((await stream.iterator().next()).value), "fresh");
  assert.equal(ups, 1);
});

test("no more is sent than the guest takes", async () => {
  const link = new FakeLink();
  const mux = new MuxHost(link);
  const stream = mux.open();
  link.push(frame(helloAck, 0, link.nonce));
  stream.write(Buffer.alloc(200_000));
  await turn();
  assert.equal(link.sentData(), 65_536);
  const credit = Buffer.alloc(4);
  credit.writeUInt32LE(1000);
  link.push(frame(window, 1, credit));
  await turn();
  assert.equal(link.sentData(), 66_536);
});

test("credit is granted only for what was consumed, and a guest beyond its credit loses the stream", async () => {
  const link = new FakeLink();
  const mux = new MuxHost(link);
  const stream = mux.open();
  const failed = new Promise<Error>((resolve) => stream.once("error", resolve));
  link.push(frame(helloAck, 0, link.nonce));
  for (let i = 0; i < 4; i++) link.push(frame(data, 1, Buffer.alloc(16_384)));
  await turn();
  const grants = () => link.frames().filter(({ type }) => type === window);
  assert.equal(grants().length, 0);
  link.push(frame(data, 1, Buffer.alloc(1)));
  assert.equal(((await failed) as Error & { code: string }).code, "agent_unreachable");
  assert.equal(link.frames().at(-1)?.type, reset);

  const other = mux.open();
  other.resume();
  for (let i = 0; i < 4; i++) link.push(frame(data, 2, Buffer.alloc(16_384)));
  await turn();
  assert.ok(grants().length > 0);
});

test("a stream can end its sending first, and is reset when it is destroyed", async () => {
  const link = new FakeLink();
  const mux = new MuxHost(link);
  link.push(frame(helloAck, 0, link.nonce));
  const stream = mux.open();
  stream.end("question");
  await turn();
  link.push(Buffer.concat([frame(data, 1, Buffer.from("answer")), frame(end, 1)]));
  assert.equal(String((await stream.toArray()).join("")), "answer");
  assert.deepEqual(
    link.frames().map(({ type }) => type),
    [open, data, end],
  );
  mux.open().destroy();
  await turn();
  assert.equal(link.frames().at(-1)?.type, reset);
});

test("a link that is lost, or out of step, takes its streams along", async () => {
  const lose = [(link: FakeLink) => link.push(null), (link: FakeLink) => link.destroy(new Error("gone"))];
  lose.push((link) => link.push(Buffer.alloc(64, 0xff)));
  for (const how of lose) {
    const link = new FakeLink();
    const mux = new MuxHost(link);
    const stream = mux.open();
    const failed = new Promise<Error>((resolve) => stream.once("error", resolve));
    link.push(frame(helloAck, 0, link.nonce));
    how(link);
    assert.equal(((await failed) as Error & { code: string }).code, "agent_unreachable");
    await mux.closed;
    assert.throws(() => mux.open(), { code: "agent_unreachable" });
  }
});

test("the agent answers one channel too many with a reset", async () => {
  const agent = await startAgent();
  try {
    const socket = await agent.connect();
    const ids = Array.from({ length: channelsMax + 1 }, (_, i) => i + 1);
    socket.write(Buffer.concat([hello("0123456789abcdef"), ...ids.map((id) => frame(open, id))]));
    const expected = Buffer.concat([
      frame(helloAck, 0, Buffer.from("0123456789abcdef")),
      frame(reset, ids.length),
    ]);
    let got = Buffer.alloc(0);
    for await (const chunk of socket) {
      got = Buffer.concat([got, chunk as Buffer]);
      if (got.length >= expected.length) break;
    }
    assert.deepEqual(got, expected);
  } finally {
    await agent.stop();
  }
});

test("the agent finds its step again after a link that broke anywhere in a frame, and drops its commands", async () => {
  const agent = await startAgent();
  try {
    const whole = frame(data, 1, Buffer.alloc(16_384, 0x41));
    const cuts = [1, 3, 7, 8, 9, 16_000].map((length) => whole.subarray(0, length));
    cuts.push(
      hello("0123456789abcdef").subarray(0, preambleBytes + 12),
      Buffer.alloc(70_000, 0xff),
      Buffer.of(3, 0, 1),
    );
    cuts.push(frame(99, 0), Buffer.alloc(20_000, 1));
    for (const cut of cuts) {
      const first = await agent.connect();
      const mux = new MuxHost(first);
      const client = new AgentClient(() => mux.open());
      const stream = await client.exec({ argv: ["sleep", "1000"], cwd: "/" });
      stream.on("error", () => {});
      await new Promise((resolve) => first.write(cut, resolve));
      first.destroy();
      await mux.closed;
      const again = new MuxHost(await agent.connect());
      const other = new AgentClient(() => again.open());
      assert.equal((await run(other, { argv: ["echo", "hi"], cwd: "/" })).stdout, "hi\n");
      const ran = () => run(other, { argv: ["ps", "--ppid", String(agent.pid), "-o", "args="], cwd: "/" });
      await eventually(async () => (/^sleep/m.test((await ran()).stdout) ? undefined : true));
      again.destroy();
      await again.closed;
    }
  } finally {
    await agent.stop();
  }
});
