/** Streams to a guest's vsock: the handshake however it comes, refusals, and the dial that outlasts a boot. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { firecrackerDial } from "../../src/effects/vmm/firecracker/dial.js";
import type { AgentLine } from "../../src/effects/vmm/vmm.js";
import { VsockStream } from "../../src/guest/vsock.js";
import { type Home, vmHandles } from "../../src/home/handles.js";
import { ManualClock } from "../manual-clock.js";

const id = "0123abcd";

describe("a guest's vsock", () => {
  let root: string;
  let home: Home;
  let path: string;
  let server: Server;
  const sockets: Socket[] = [];
  let serve: (socket: Socket) => void = () => {};

  beforeEach(() => {
    root = mkdtempSync(`${tmpdir()}/banger-vsock-`);
    home = { state: `${root}/s`, data: "", cache: "", config: "", runtime: "" };
    path = vmHandles(home, id).vsockSocket;
    mkdirSync(dirname(path), { recursive: true });
    server = createServer({ allowHalfOpen: true }, (socket) => {
      sockets.push(socket);
      socket.on("error", () => {});
      serve(socket);
    });
  });
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy();
    server.close();
    rmSync(root, { recursive: true });
  });
  const listen = () => new Promise<void>((resolve) => server.listen(path, resolve));

  test("the answer to the handshake is taken off, wherever it is cut, and what follows arrives whole", async () => {
    const bytes = Buffer.from("OK 1073741824\nhello\n");
    for (let cut = 1; cut < bytes.length; cut++) {
      serve = (socket) =>
        socket.once("data", () => {
          socket.write(bytes.subarray(0, cut));
          setImmediate(() => socket.end(bytes.subarray(cut)));
        });
      if (!server.listening) await listen();
      const stream = new VsockStream(path, 1024);
      let text = "";
      for await (const chunk of stream as AsyncIterable<Buffer>) text += chunk.toString();
      assert.equal(text, "hello\n", `cut at ${cut}`);
    }
  });

  test("what is written before the answer goes out behind the request for the port", async () => {
    let seen = "";
    serve = (socket) => socket.on("data", (data) => (seen += data.toString()));
    await listen();
    const stream = new VsockStream(path, 1024);
    await new Promise((resolve) => stream.write("early", resolve));
    while (!seen.includes("early")) await once(sockets[0] as Socket, "data");
    assert.equal(seen, "CONNECT 1024\nearly");
    stream.destroy();
  });

  test("who is hung up on, gets nonsense or finds nobody is told so", async () => {
    const failure = async () => {
      const stream = new VsockStream(path, 1024);
      const [error] = (await once(stream, "error")) as [Error & { code: string }];
      return `${error.code}: ${error.message}`;
    };
    assert.match(await failure(), /^agent_unreachable: .*ENOENT/);
    await listen();
    serve = (socket) => socket.destroy();
    assert.match(await failure(), /^agent_unreachable: /);
    serve = (socket) => socket.write("HTTP/1.1 400 \r\n\r\n");
    assert.match(await failure(), /not Firecracker's/);
    serve = (socket) => socket.write("x".repeat(100));
    assert.match(await failure(), /not Firecracker's/);
  });

  test("a reader that is slow slows the sender down", async () => {
    const total = 4 << 20;
    serve = (socket) =>
      socket.once("data", () => {
        socket.write("OK 1\n");
        socket.end(Buffer.alloc(total));
      });
    await listen();
    const stream = new VsockStream(path, 1024);
    await once(stream, "open");
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    assert.ok(stream.readableLength < total / 4, `${stream.readableLength} bytes are buffered`);
    let received = 0;
    for await (const chunk of stream as AsyncIterable<Buffer>) received += chunk.length;
    assert.equal(received, total);
  });

  test("the dial asks until the guest is up; its line ends with the first stream", async () => {
    const clock = new ManualClock();
    let refusals = 3;
    serve = (socket) =>
      socket.once("data", () => {
        if (refusals-- > 0) socket.destroy();
        else socket.write("OK 1\n");
      });
    await listen();
    const stop = new AbortController();
    let line: AgentLine | undefined;
    const dialled = firecrackerDial(home, clock)(id, stop.signal).then((each) => {
      line = each;
    });
    while (line === undefined) {
      await clock.advance(20);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await dialled;
    assert.equal(sockets.length, 4);
    sockets.at(-1)?.destroy();
    await line.closed;
  });

  test("a dial that is given up ends", async () => {
    const stop = new AbortController();
    const dialled = firecrackerDial(home, new ManualClock())(id, stop.signal);
    stop.abort(new Error("no longer wanted"));
    await assert.rejects(dialled, { message: "no longer wanted" });
  });
});
