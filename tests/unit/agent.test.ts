/** The agent's HTTP side, as the real program serves it over the mux. */
import assert from "node:assert/strict";
import { readFileSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import type { AgentListener } from "../../src/guest/agent-replies.js";
import { type Linked, startAgent, startLinked } from "./agent-process.js";

let linked: Linked;
before(async () => {
  linked = await startLinked();
});
after(() => linked.stop());

/** The raw reply to raw bytes on a stream of its own. */
async function raw(request: string): Promise<string> {
  const stream = linked.mux.open();
  stream.end(request);
  return text(stream);
}

test("health names the agent's version, which is the package's", async () => {
  const health = await linked.client.health();
  const version = JSON.parse(readFileSync("package.json", "utf8")).version;
  assert.equal(health.agent, version);
  assert.ok(health.uptimeMs > 0);
  assert.match(health.bootId, /^[0-9a-f-]{36}$/);
  assert.equal(linked.mux.up, true);
});

test("who watches the health is told at once, and a program that is no guest's init says nothing of it", async () => {
  const stop = new AbortController();
  const before = Date.now();
  await linked.client.watchHealth(async ({ unixMs = 0, init, ownClock, agent }) => {
    assert.deepEqual([init, ownClock, agent], ["unsaid", false, (await linked.client.health()).agent]);
    assert.ok(unixMs >= before && unixMs <= Date.now());
    stop.abort();
  }, stop.signal);
});

test("the agent sets no clock but that of its own guest, and by no nonsense", async () => {
  await assert.rejects(linked.client.addToClock(5_000), { code: "agent_refused", message: /not_a_guest/ });
  for (const query of ["", "?add=", "?add=1x", "?add=99999999999999999999"]) {
    assert.match(await raw(`POST /clock${query} HTTP/1.1\r\n\r\n`), /^HTTP\/1.1 400 /, query);
  }
});

test("streams are given back: many more exchanges than channels, one after the other", async () => {
  for (let i = 0; i < 200; i++) await linked.client.health();
});

test("ports show a listener with its process, and watching tells when it goes", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const port = (server.address() as { port: number }).port;
  const mine = (ports: AgentListener[]) => ports.find((one) => one.port === port && one.proto === "tcp");
  const found = mine(await linked.client.ports());
  assert.equal(found?.address, "127.0.0.1");
  assert.equal(found?.pid, process.pid);
  assert.match(found?.command ?? "", /node/);

  const stop = new AbortController();
  const seen: boolean[] = [];
  const watching = linked.client.watchPorts(async (ports) => {
    seen.push(mine(ports) !== undefined);
    if (seen.length === 1) server.close();
    else if (!seen.at(-1)) stop.abort();
  }, stop.signal);
  await watching;
  assert.equal(seen[0], true);
  assert.equal(seen.at(-1), false);
});

test("a file is written as a whole, with its attributes and parents, and read back", async () => {
  const path = join(linked.agent.directory, "a b/deep/file");
  const content = Buffer.alloc(300_000, "banger ü\n");
  await linked.client.putFile(path, content, { mode: 0o600 });
  assert.equal(statSync(path).mode & 0o7777, 0o600);
  assert.equal(statSync(join(path, "..")).mode & 0o7777, 0o755);
  const chunks: Buffer[] = [];
  for await (const chunk of await linked.client.getFile(path)) chunks.push(chunk as Buffer);
  assert.ok(Buffer.concat(chunks).equals(content));
  await linked.client.putFile(path, Buffer.alloc(0));
  assert.equal(statSync(path).size, 0);
});

test("what cannot be done is refused with its reason", async () => {
  const refused = (pattern: RegExp) => ({ code: "agent_refused", message: pattern });
  await assert.rejects(linked.client.getFile("/nonexistent/file"), refused(/no_such_file/));
  await assert.rejects(linked.client.getFile(linked.agent.directory), refused(/not_a_file/));
  await assert.rejects(linked.client.putFile("relative", Buffer.alloc(1)), refused(/bad_request/));
  await assert.rejects(linked.client.shutdown(), refused(/not_a_guest/));
  await linked.client.sync();
});

test("malformed HTTP and JSON are refused, and the agent lives on", async () => {
  assert.match(await raw("nonsense\r\n\r\n"), /^HTTP\/1.1 400 /);
  assert.match(await raw("GET /healthz"), /^HTTP\/1.1 400 /);
  assert.match(await raw("GET /nothing HTTP/1.1\r\n\r\n"), /^HTTP\/1.1 404 /);
  assert.match(await raw("DELETE /healthz HTTP/1.1\r\n\r\n"), /^HTTP\/1.1 405 /);
  assert.match(await raw(`GET /healthz HTTP/1.1\r\nx: ${"y".repeat(20_000)}\r\n\r\n`), /^HTTP\/1.1 431 /);
  assert.match(
    await raw("PUT /files?path=/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"),
    /^HTTP\/1.1 411 /,
  );
  const bodies = [
    "",
    "[]",
    "{",
    '{"argv":[]}',
    '{"argv":["a",]}',
    '{"argv":["a"],"cols":0}',
    '{"argv":["\\u0000"]}',
  ];
  bodies.push(
    '{"argv":["a"]} x',
    '{"argv":["a"],"env":{"A=B":"c"}}',
    '{"argv":["\\ud800"]}',
    "[".repeat(9000),
  );
  bodies.push(
    `{"x":${"[".repeat(100)}${"]".repeat(100)},"argv":["a"]}`,
    '{"argv":["a"',
    "\0",
    '{"argv":"a"}',
  );
  for (const body of bodies) {
    const head = `POST /exec HTTP/1.1\r\nUpgrade: banger-exec\r\nContent-Length: ${body.length}\r\n\r\n`;
    assert.match(await raw(head + body), /^HTTP\/1.1 400 /, body.slice(0, 40));
  }
  assert.match(
    await raw("POST /exec HTTP/1.1\r\nUpgrade: banger-exec\r\nContent-Length: 17000000\r\n\r\n"),
    /^HTTP\/1.1 413 /,
  );
  assert.match(await raw("POST /exec HTTP/1.1\r\nContent-Length: 0\r\n\r\n"), /^HTTP\/1.1 426 /);
  await linked.client.health();
});

test("a deadline ends an exchange that gets no answer", async () => {
  const agent = await startAgent();
  try {
    const socket = await agent.connect();
    process.kill(agent.pid, "SIGSTOP");
    const { MuxHost } = await import("../../src/guest/mux.js");
    const { AgentClient } = await import("../../src/guest/agent.js");
    const mux = new MuxHost(socket);
    const client = new AgentClient(() => mux.open());
    await assert.rejects(client.health(AbortSignal.timeout(50)), {
      code: "agent_unreachable",
      retry: "later",
    });
    process.kill(agent.pid, "SIGCONT");
    await client.health();
    mux.destroy();
    await assert.rejects(client.health(), { code: "agent_unreachable" });
  } finally {
    await agent.stop();
  }
});

test("over plain sockets each connection is one exchange", async () => {
  const agent = await startAgent("--unix");
  try {
    const socket = await agent.connect();
    socket.end("GET /healthz HTTP/1.1\r\n\r\n");
    assert.match(await text(socket), /"status":"ok"/);
  } finally {
    await agent.stop();
  }
});
