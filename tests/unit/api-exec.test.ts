/** The exec proxy: bytes go through whole and at the reader's pace, and whoever goes away ends the other side. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { after, before, beforeEach, describe, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { DaemonBench, readExactly } from "../daemon-bench.js";

const size = 1024 * 1024;
let bench: DaemonBench;
let id: string;
let count = 0;

before(async () => {
  bench = await DaemonBench.open();
  await bench.start();
  await bench.pullImage();
});
beforeEach(async () => {
  bench.guests.status = 200;
  id = await bench.runningVm(`vm-${++count}`);
});
after(() => bench.close());

const headOf = (ref: string, body: string) =>
  [
    `POST /v1/vms/${ref}/exec HTTP/1.1`,
    "host: banger",
    "connection: Upgrade",
    "upgrade: banger-exec",
    `content-length: ${Buffer.byteLength(body)}`,
    "",
    body,
  ].join("\r\n");

/** Sends an upgrade request as a client would; nothing of the answer is read yet. */
function send(text: string): Socket {
  const socket = connect(bench.socket);
  socket.on("error", () => socket.destroy());
  socket.write(text);
  return socket;
}

/** The head of the answer, status line first. */
async function answer(socket: Socket): Promise<string> {
  let head = "";
  while (!head.endsWith("\r\n\r\n")) head += (await readExactly(socket, 1)).toString("latin1");
  return head;
}

async function exec(request: object): Promise<{ client: Socket; guest: Duplex; request: unknown }> {
  const client = send(headOf(id, JSON.stringify({ argv: ["true"], ...request })));
  const played = await bench.guests.nextExec();
  assert.match(await answer(client), /^HTTP\/1\.1 101 /);
  return { client, guest: played.stream, request: played.request };
}

/** Reads a little at a time, so that all that is in between fills up. */
async function readSlowly(stream: Duplex, length: number): Promise<string> {
  const hash = createHash("sha256");
  for (let left = length; left > 0; ) {
    const piece = await readExactly(stream, Math.min(left, 8192));
    left -= piece.length;
    hash.update(piece);
    await nextTurn();
  }
  return hash.digest("hex");
}

const digest = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

/** Resolves when the other side has gone. */
async function gone(stream: Duplex): Promise<void> {
  stream.resume();
  if (!stream.readableEnded && !stream.destroyed)
    await Promise.race([once(stream, "end"), once(stream, "close")]);
}

describe("a command", () => {
  test("reaches its guest as it was asked for", async () => {
    const { client, request } = await exec({ cwd: "/root", env: { A: "1" }, tty: true });
    assert.deepEqual(request, { argv: ["true"], cwd: "/root", env: { A: "1" }, tty: true });
    client.destroy();
  });

  test("carries a mebibyte each way at once, past slow readers, to the last byte", async () => {
    const { client, guest } = await exec({});
    const [up, down] = [randomBytes(size), randomBytes(size)];
    client.write(up);
    guest.end(down);
    const [read, got] = await Promise.all([readSlowly(guest, size), readSlowly(client, size)]);
    assert.deepEqual([read, got], [digest(up), digest(down)]);
    await gone(client);
  });

  test("gets what came in one piece with the request", async () => {
    const body = JSON.stringify({ argv: ["cat"] });
    const client = send(`${headOf(id, body)}first`);
    const { stream } = await bench.guests.nextExec();
    assert.equal((await readExactly(stream, 5)).toString(), "first");
    client.destroy();
  });

  test("gets its request even when it comes in pieces", async () => {
    const text = headOf(id, JSON.stringify({ argv: ["é"] }));
    const bytes = Buffer.from(text);
    const client = connect(bench.socket);
    for (let at = 0; at < bytes.length; at += 40) {
      client.write(bytes.subarray(at, at + 40));
      await nextTurn();
    }
    assert.deepEqual((await bench.guests.nextExec()).request, { argv: ["é"] });
    client.destroy();
  });
});

describe("an end", () => {
  test("of the client ends the command, even one that is silent", async () => {
    const { client, guest } = await exec({});
    client.destroy();
    await gone(guest);
  });

  test("of the guest ends the connection after its last byte", async () => {
    const { client, guest } = await exec({});
    guest.end("bye");
    assert.equal((await readExactly(client, 3)).toString(), "bye");
    await gone(client);
  });

  test("of a daemon that is stopped ends the connections and leaves the VM", async () => {
    const other = await DaemonBench.open();
    try {
      const daemon = await other.start();
      await other.pullImage();
      const vmId = await other.runningVm("ann");
      const client = connect(other.socket);
      client.write(headOf(vmId, JSON.stringify({ argv: ["sleep"] })));
      const { stream } = await other.guests.nextExec();
      assert.match(await answer(client), /101/);
      await daemon.close();
      await Promise.all([gone(client), gone(stream)]);
      assert.equal(other.host.vms.get(vmId)?.process?.guest, "up");
    } finally {
      await other.close();
    }
  });
});

describe("a command with an id", () => {
  const named = (ref: string, session: string, received?: number) =>
    headOf(ref, '{"argv":["sleep"]}').replace(
      "\r\n\r\n",
      `\r\nbanger-session: ${session}${received === undefined ? "" : `\r\nbanger-received: ${received}`}\r\n\r\n`,
    );

  test("is the guest's by it, and hung up there when its client goes", async () => {
    const client = send(named(id, "session-of-somebody", 5));
    const { stream, request } = await bench.guests.nextExec();
    const graceMs = 300_000;
    assert.deepEqual(request, { argv: ["sleep"], session: "session-of-somebody", graceMs, received: 5 });
    assert.match(await answer(client), /^HTTP\/1\.1 101 /);
    client.destroy();
    await gone(stream);
    while (!bench.guests.asked.includes("DELETE /exec?session=session-of-somebody")) await nextTurn();
  });

  test("is left alone by a daemon that ends, whose client may ask the next one for it", async () => {
    const other = await DaemonBench.open();
    try {
      const daemon = await other.start();
      await other.pullImage();
      const client = connect(other.socket);
      client.write(named(await other.runningVm("ann"), "session-that-goes-on"));
      const { stream } = await other.guests.nextExec();
      assert.match(await answer(client), /101/);
      await daemon.close();
      await Promise.all([gone(client), gone(stream)]);
      assert.deepEqual(
        other.guests.asked.filter((line) => line.startsWith("DELETE")),
        [],
      );
    } finally {
      await other.close();
    }
  });

  test("has one that nobody guesses, and an offset that is a number", async () => {
    for (const wrong of [
      named(id, "short"),
      named(id, "with a space in it"),
      named(id, "session-of-mine", -1),
    ])
      assert.match(await answer(send(wrong)), /^HTTP\/1\.1 400 /);
  });
});

describe("a refusal is an error in JSON", () => {
  const cases: Record<string, [text: () => string, status: number, code: string]> = {
    "an unknown VM": [() => headOf("nobody", '{"argv":["true"]}'), 404, "vm_not_found"],
    "no command": [() => headOf(id, '{"argv":[]}'), 400, "invalid_request"],
    "an unknown field": [() => headOf(id, '{"argv":["true"],"root":true}'), 400, "invalid_request"],
    "no JSON": [() => headOf(id, "{"), 400, "invalid_request"],
    "a garbled name": [() => headOf("%zz", '{"argv":["true"]}'), 400, "invalid_request"],
    "no length": [() => headOf(id, "").replace(/content-length: 0\r\n/, ""), 400, "invalid_request"],
    "another protocol": [() => headOf(id, "{}").replace("banger-exec", "websocket"), 426, "upgrade_required"],
    "another place": [() => headOf(id, "{}").replace("/exec", "/nothing"), 404, "not_found"],
  };
  for (const [what, [text, status, code]] of Object.entries(cases)) {
    test(what, async () => {
      const client = send(text());
      const head = await answer(client);
      assert.match(head, new RegExp(`^HTTP/1\\.1 ${status} `));
      const length = Number(/content-length: (\d+)/.exec(head)?.[1]);
      const { error } = JSON.parse((await readExactly(client, length)).toString()) as {
        error: { code: string };
      };
      assert.equal(error.code, code);
      await gone(client);
    });
  }

  test("a garbled name of any other route", async () => {
    const { status, json } = await bench.ask("GET", "/v1/vms/%zz");
    assert.deepEqual([status, (json as { error: { code: string } }).error.code], [400, "invalid_request"]);
  });

  test("a guest that refuses, and a VM that does not run", async () => {
    bench.guests.status = 503;
    assert.match(await answer(send(headOf(id, '{"argv":["true"]}'))), /^HTTP\/1\.1 503 /);
    const stopped = (
      await bench.ask("POST", "/v1/vms", { commandId: `command-stopped`, spec: {}, start: false })
    ).json;
    const ref = (stopped as { id: string }).id;
    assert.match(await answer(send(headOf(ref, '{"argv":["true"]}'))), /^HTTP\/1\.1 409 /);
  });
});
