/** Commands that outlive the link to their agent: the real agent, and links that are cut at any byte. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import type { Duplex } from "node:stream";
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, describe, test } from "node:test";
import { AgentClient } from "../../src/guest/agent.js";
import { encodeFrame, encodeOffset, FrameReader, frameType } from "../../src/guest/exec-frames.js";
import { ExecClient } from "../../src/guest/exec-stream.js";
import { MuxHost } from "../../src/guest/mux.js";
import type { BangerError } from "../../src/lib/errors.js";
import { seeded } from "../sim/random.js";
import { type AgentProcess, eventually, Sink, startAgent } from "./agent-process.js";

const graceMs = 60_000;

/** A daemon's link to the agent, which may be cut: the next one takes its place, as after a daemon's death. */
class Links {
  mux!: MuxHost;
  client!: AgentClient;
  constructor(readonly agent: AgentProcess) {}

  static async open(): Promise<Links> {
    const links = new Links(await startAgent());
    await links.renew();
    return links;
  }

  /** Cuts the link and makes another. */
  async renew(): Promise<void> {
    this.mux?.destroy();
    const mux = new MuxHost(await this.agent.connect());
    this.mux = mux;
    this.client = new AgentClient(() => mux.open());
  }

  async close(): Promise<void> {
    this.mux.destroy();
    await this.mux.closed;
    await this.agent.stop();
  }
}

const shell = (script: string) => ({ argv: ["sh", "-c", script], cwd: "/" });
const alive = (pid: number): boolean => {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
};

/** In KiB. */
const rssOf = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);

let links: Links;
let count = 0;
let session: string;
beforeEach(async () => {
  links = await Links.open();
  session = `session-${++count}`;
});
afterEach(() => links.close());

/** A command as the CLI runs it: its link may be renewed at any time. */
async function begin(script: string, stdin?: PassThrough) {
  const [stdout, stderr] = [new Sink(), new Sink()];
  const command = shell(script);
  const connection = await links.client.exec(command, undefined, { session, graceMs });
  const reconnect = (received: number): Promise<Duplex> =>
    eventually(() =>
      links.client.exec(command, undefined, { session, graceMs, received }).catch((error: BangerError) => {
        if (error.retry === "later") return undefined;
        throw error;
      }),
    );
  const exec = new ExecClient(connection, { stdout, stderr, ...(stdin && { stdin }) }, reconnect);
  return { exec, stdout, stderr };
}

const numbers = (upTo: number) => Array.from({ length: upTo }, (_, i) => `${i + 1}\n`).join("");

describe("a command whose link breaks", () => {
  test("goes on: each byte of both outputs comes once, and its status", async () => {
    const { exec, stdout, stderr } = await begin(
      "for i in $(seq 40); do seq $((i*500-499)) $((i*500)); echo $i >&2; sleep 0.02; done; exit 7",
    );
    for (let i = 1; i <= 8; i++) {
      await eventually(async () => (stderr.text.split("\n").length > i * 4 ? true : undefined));
      await links.renew();
    }
    assert.deepEqual(await exec.result, { code: 7 });
    assert.equal(stdout.text, numbers(20_000));
    assert.equal(stderr.text, numbers(40));
  });

  test("loses and doubles nothing of its input", async () => {
    const stdin = new PassThrough();
    const { exec, stdout } = await begin("cat; exit 3", stdin);
    const lines = numbers(60_000).match(/(.*\n){1,1500}/g) ?? [];
    for (const [index, part] of lines.entries()) {
      if (!stdin.write(part)) await new Promise((resolve) => stdin.once("drain", resolve));
      if (index % 6 === 5) await links.renew();
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    stdin.end();
    assert.deepEqual(await exec.result, { code: 3 });
    assert.equal(stdout.text, numbers(60_000));
  });

  test("gets the signals and sizes that were sent while nobody was there, in their order", async () => {
    const stdin = new PassThrough();
    const { exec, stdout } = await begin(
      // A signal may interrupt what is being read.
      'trap "echo got" USR1; echo up; until read -r line; do :; done; echo "$line"',
      stdin,
    );
    await eventually(async () => stdout.text || undefined);
    links.mux.destroy();
    await links.mux.closed;
    exec.signal(10);
    stdin.end("last\n");
    await links.renew();
    assert.deepEqual(await exec.result, { code: 0 });
    assert.equal(stdout.text, "up\ngot\nlast\n");
  });

  test("waits when nobody takes what it writes, and is told its end after it was over", async () => {
    const { exec, stdout } = await begin("echo up; seq 100000; echo end >&2; exit 5");
    await eventually(async () => stdout.text || undefined);
    links.mux.destroy();
    // More than a ring holds: it cannot end before it is read.
    await new Promise((resolve) => setTimeout(resolve, 300));
    await links.renew();
    assert.deepEqual(await exec.result, { code: 5 });
    assert.equal(stdout.text, `up\n${numbers(100_000)}`);
  });

  test("goes on in the middle of a flood, again and again, with what either side has not heard of the other", async () => {
    const { exec, stdout } = await begin("seq 400000; exit 4");
    for (let i = 1; i <= 24; i++) {
      await eventually(async () => (stdout.chunks.length > i * 6 ? true : undefined));
      // What the host says from here on comes to nobody.
      process.kill(links.agent.pid, "SIGSTOP");
      await new Promise((resolve) => setTimeout(resolve, 30));
      await links.renew();
      process.kill(links.agent.pid, "SIGCONT");
    }
    assert.deepEqual(await exec.result, { code: 4 });
    assert.equal(stdout.text === numbers(400_000), true);
  });

  test("is hung up when the grace is over, and then nobody can go on with it", async () => {
    const stream = await links.client.exec(shell("echo $$; exec sleep 600"), undefined, {
      session,
      graceMs: 200,
    });
    const pid = await firstNumber(stream);
    await links.renew();
    await eventually(async () => (alive(pid) ? undefined : true));
    await assert.rejects(links.client.exec(shell("true"), undefined, { session, graceMs, received: 0 }), {
      code: "exec_gone",
    });
  });

  test("without an id is hung up with it, as before", async () => {
    const stream = await links.client.exec(shell("echo $$; exec sleep 600"));
    stream.on("error", () => undefined);
    const pid = await firstNumber(stream);
    await links.renew();
    await eventually(async () => (alive(pid) ? undefined : true));
  });
});

/** The number that a command prints first. */
function firstNumber(stream: Duplex): Promise<number> {
  const reader = new FrameReader();
  stream.on("error", () => undefined);
  return new Promise((resolve) => {
    stream.on("data", (bytes: Buffer) => {
      const out = reader.push(bytes).find(({ type }) => type === frameType.stdout);
      if (out !== undefined) resolve(Number(out.payload.toString()));
    });
  });
}

describe("a session", () => {
  test("that is asked for twice is begun once; a client that goes away for good ends it at once", async () => {
    const first = await links.client.exec(shell("echo $$; exec sleep 600"), undefined, { session, graceMs });
    const pid = await firstNumber(first);
    await links.renew();
    const again = await links.client.exec(shell("echo $$; exec sleep 600"), undefined, { session, graceMs });
    assert.equal(await firstNumber(again), pid);
    assert.equal(alive(pid), true);
    await links.client.hangUp(session);
    await eventually(async () => (alive(pid) ? undefined : true));
    await links.client.hangUp(session);
  });

  test("goes on only with what it can have: an offset that nobody was sent is refused", async () => {
    await firstNumber(await links.client.exec(shell("echo 1; sleep 600"), undefined, { session, graceMs }));
    for (const received of [1_000, Number.MAX_SAFE_INTEGER]) {
      const asked = links.client.exec(shell("true"), undefined, { session, graceMs, received });
      await assert.rejects(asked, { code: "exec_gone" });
    }
    await links.client.exec(shell("true"), undefined, { session, graceMs, received: 10 });
  });

  test("are bounded in number: what is over and waits goes first, what runs stays", async () => {
    const [idle, over] = [shell("sleep 600"), shell("true")];
    const run = async (name: string, command: { argv: string[]; cwd: string }) => {
      const stream = await links.client.exec(command, undefined, { session: name, graceMs });
      stream.on("error", () => undefined).resume();
      return stream;
    };
    await new Promise((resolve) => run("over", over).then((stream) => stream.once("end", resolve)));
    for (let i = 0; i < 63; i++) (await run(`idle-${i}`, idle)).destroy();
    (await run("one-more", idle)).destroy();
    await assert.rejects(run("too-many", idle), { code: "agent_refused", retry: "later" });
    await assert.rejects(links.client.exec(over, undefined, { session: "over", graceMs, received: 0 }), {
      code: "exec_gone",
    });
  });

  test("that lies about what it has is broken off, and its command hung up", async () => {
    const stream = await links.client.exec(shell("echo $$; exec sleep 600"), undefined, { session, graceMs });
    const pid = await firstNumber(stream);
    stream.write(encodeFrame(frameType.acknowledge, encodeOffset(1_000_000)));
    await eventually(async () => (alive(pid) ? undefined : true));
  });
});

test("whatever comes on a session's stream, the agent serves on, and bounds what it keeps", async () => {
  const { next: random } = seeded(20);
  const whole = (upTo: number) => Math.floor(random() * upTo);
  const started = rssOf(links.agent.pid);
  for (let round = 0; round < 150; round++) {
    const name = `fuzz-${whole(20)}`;
    const received = random() < 0.3 ? { received: whole(40) } : {};
    const asked = links.client.exec(shell("cat; seq 2000"), undefined, {
      session: name,
      graceMs: whole(300),
      ...received,
    });
    const stream = await asked.catch(() => undefined);
    if (stream === undefined) continue;
    stream.on("error", () => undefined);
    if (random() < 0.7) stream.resume();
    for (let i = whole(12); i > 0; i--) {
      const payload = Buffer.from(Array.from({ length: whole(20) }, () => whole(256)));
      const known = [encodeOffset(whole(60)), Buffer.alloc(whole(16_000)), payload][whole(3)] as Buffer;
      const frame = encodeFrame(whole(8), known);
      stream.write(random() < 0.1 ? frame.subarray(0, whole(frame.length)) : frame);
    }
    if (random() < 0.5) await new Promise((resolve) => setTimeout(resolve, whole(5)));
    if (random() < 0.1) await links.renew();
    else if (random() < 0.3) await links.client.hangUp(name).catch(() => undefined);
    if (random() < 0.8) stream.destroy();
  }
  assert.equal((await links.client.health()).status, "ok");
  assert.ok(rssOf(links.agent.pid) - started < 64 * 2 ** 10, "KiB");
});
