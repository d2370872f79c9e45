/** What listens in a guest: one line for each server, reached by address or name, with a URL where one speaks HTTP. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer as createHttp } from "node:http";
import { createServer as createHttps } from "node:https";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { portViews } from "../../src/api/ports.js";
import { portTable } from "../../src/cli/render/vm.js";
import { isRouted } from "../../src/cli/vm/routed.js";
import { systemClock } from "../../src/lib/clock.js";
import type { Listener, Vm } from "../../src/model/model.js";
import { bridged, capabilities, seenRunning, vmAfterTypes } from "../fixtures.js";

const box: Vm = { ...vmAfterTypes("vm.created"), name: "box", address: "127.0.0.1" };
const never = new AbortController().signal;

async function listening(t: TestContext, server: Server): Promise<number> {
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

const listener = (port: number, more: Partial<Listener> = {}): Listener => ({
  proto: "tcp",
  address: "0.0.0.0",
  port,
  pid: port,
  process: "server",
  command: "server --here",
  ...more,
});

/** Every listener's port is forwarded to the same one, as the reconciler would have it. */
const views = (listeners: Listener[], mode = capabilities) => {
  const list = listeners.map(({ port }) => ({ guestPort: port, hostPort: port }));
  return portViews(
    box,
    { ...seenRunning, forwards: { is: "present", list } },
    listeners,
    mode,
    systemClock,
    never,
  );
};

function certificate(t: TestContext): { key: Buffer; cert: Buffer } {
  const directory = mkdtempSync(join(tmpdir(), "banger-ports-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const [key, cert] = [join(directory, "key"), join(directory, "cert")];
  const made = [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-subj",
    "/CN=x",
  ];
  execFileSync("openssl", [...made, "-keyout", key, "-out", cert], { stdio: "ignore" });
  return { key: readFileSync(key), cert: readFileSync(cert) };
}

test("a web server has a URL that needs no resolver, https where it speaks TLS; another server has none", async (t) => {
  const hosts: (string | undefined)[] = [];
  const http = await listening(
    t,
    createHttp((asked, reply) => {
      hosts.push(asked.headers.host);
      reply.writeHead(404).end();
    }),
  );
  const https = await listening(
    t,
    createHttps(certificate(t), (_, reply) => void reply.end()),
  );
  const banner = await listening(
    t,
    createServer((socket) => {
      socket.on("error", () => {});
      socket.end("SSH-2.0-test\r\n");
    }),
  );
  const ports = await views([listener(http), listener(https), listener(banner)]);
  assert.deepEqual(
    ports.map(({ url }) => url),
    [`http://127.0.0.1:${http}/`, `https://127.0.0.1:${https}/`, null],
  );
  assert.deepEqual(hosts, [`box.vm:${http}`]);
});

test("a port that never says a word is given up, and so is one whose client has gone", async (t) => {
  const held: { destroy(): void }[] = [];
  const silent = await listening(
    t,
    createServer((socket) => void held.push(socket)),
  );
  t.after(() => held.forEach((socket) => socket.destroy()));
  assert.equal((await views([listener(silent)]))[0]?.url, null);
});

test("a server on both IPv4 and IPv6 is shown once; another process on the port is not it", async () => {
  const both = [listener(9, { proto: "udp" }), listener(9, { proto: "udp", address: "::" })];
  const other = listener(9, { proto: "udp", pid: 1 });
  const inside = ["127.0.0.1", "::1"].map((address) => listener(8, { address }));
  const shown = await views([...both, other, ...inside]);
  assert.deepEqual(
    shown.map(({ proto, address, pid }) => [proto, address, pid]),
    [
      ["udp", "0.0.0.0", 9],
      ["udp", "0.0.0.0", 1],
      ["tcp", "127.0.0.1", 8],
    ],
  );
});

test("the table shows names only where they lead to banger", () => {
  const style = { dim: (text: string) => text } as Parameters<typeof portTable>[2]["style"];
  const port = {
    ...listener(3000),
    endpoint: "127.7.0.1:13000",
    named: "box.vm:13000",
    url: "http://127.7.0.1:13000/",
    reason: null,
  };
  const cells = (byName: boolean, more: object = {}) =>
    portTable([{ ...port, ...more }], byName, { style })
      .split("\n")[1]
      ?.split(/ {2,}/);
  assert.deepEqual(cells(true), ["tcp", "http://box.vm:13000/", "server", "server --here"]);
  assert.equal(cells(false)?.[1], "http://127.7.0.1:13000/");
  assert.equal(cells(true, { url: null })?.[1], "box.vm:13000");
  assert.equal(cells(false, { url: null })?.[1], "127.7.0.1:13000");
  const inside = cells(false, { address: "127.0.0.1" });
  assert.deepEqual(inside?.slice(1, 4), ["http://127.7.0.1:13000/", "server", "on the guest's 127.0.0.1"]);
  const none = cells(false, {
    endpoint: null,
    named: null,
    url: null,
    reason: "only TCP ports are forwarded",
  });
  assert.deepEqual(none?.slice(1, 4), [
    "0.0.0.0:3000 in the guest",
    "server",
    "only TCP ports are forwarded",
  ]);
});

test("a name that does not resolve is not routed, and asking does not take long", async () => {
  assert.equal(await isRouted("no-such-name-at-all.vm", "127.7.0.1"), false);
});

test("on the bridge each port is the guest's own, whatever the protocol, but for its loopback's", async () => {
  const listeners = [listener(9, { proto: "udp" }), listener(22), listener(8, { address: "127.0.0.1" })];
  const shown = await views(listeners, bridged);
  assert.deepEqual(
    shown.map(({ endpoint, named, url }) => [endpoint, named, url]),
    [
      ["127.0.0.1:9", "box.vm:9", null],
      ["127.0.0.1:22", "box.vm:22", null],
      [null, null, null],
    ],
  );
});
