/** The QMP client against a server that does what the test says. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { afterEach, beforeEach, describe, test } from "node:test";
import { connectQmp } from "../../src/effects/vmm/qemu/qmp.js";
import { systemClock } from "../../src/lib/clock.js";

type Request = { execute: string; id: number; arguments: object };
type Answer = (request: Request, socket: Socket) => void;

const greeting = '{"QMP":{"version":{},"capabilities":[]}}\r\n';
const send = (socket: Socket, message: object) => socket.write(`${JSON.stringify(message)}\r\n`);

describe("connectQmp", () => {
  let directory: string;
  let server: Server | undefined;
  const sockets: Socket[] = [];

  beforeEach(() => {
    directory = mkdtempSync(`${tmpdir()}/banger-qmp-`);
  });
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy();
    server?.close();
    rmSync(directory, { recursive: true });
  });

  /** Serves `answer` for each request after the negotiation; yields the socket's path. */
  async function serve(answer: Answer, hello = greeting): Promise<string> {
    const path = `${directory}/qmp.sock`;
    server = createServer((socket) => {
      sockets.push(socket);
      socket.write(hello);
      let text = "";
      socket.on("data", (data) => {
        text += data.toString();
        for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
          const request = JSON.parse(text.slice(0, end)) as Request;
          text = text.slice(end + 1);
          if (request.execute === "qmp_capabilities") send(socket, { return: {}, id: request.id });
          else answer(request, socket);
        }
      });
    });
    await new Promise<void>((resolve) => server?.listen(path, resolve));
    return path;
  }

  test("answers find their commands, whatever their order, and an answer may come in pieces", async () => {
    const waiting: Request[] = [];
    const path = await serve((request, socket) => {
      waiting.push(request);
      if (waiting.length < 2) return;
      const text = waiting.reverse().map(({ id, execute }) => JSON.stringify({ return: `${execute}é`, id }));
      const bytes = Buffer.from(`${text.join("\r\n")}\r\n`);
      const middle = bytes.indexOf("é") + 1;
      socket.write(bytes.subarray(0, middle));
      setImmediate(() => socket.write(bytes.subarray(middle)));
    });
    const qmp = await connectQmp(path, systemClock);
    assert.deepEqual(await Promise.all([qmp.execute("a"), qmp.execute("b")]), ["aé", "bé"]);
    qmp.close();
    await qmp.closed;
  });

  test("a refusal is an error with QEMU's words, and the connection goes on", async () => {
    const path = await serve(({ id, execute }, socket) =>
      send(
        socket,
        execute === "bad"
          ? { error: { class: "GenericError", desc: "no such thing" }, id }
          : { return: 1, id },
      ),
    );
    const qmp = await connectQmp(path, systemClock);
    await assert.rejects(qmp.execute("bad"), { code: "qmp_refused", message: /no such thing/ });
    assert.equal(await qmp.execute("good"), 1);
    qmp.close();
  });

  test("events reach every listener", async () => {
    const path = await serve(({ id }, socket) => {
      send(socket, { event: "SHUTDOWN", data: { guest: true, reason: "guest-reset" } });
      send(socket, { return: {}, id });
    });
    const qmp = await connectQmp(path, systemClock);
    const seen: unknown[] = [];
    qmp.onEvent(({ event, data }) => seen.push([event, data["reason"]]));
    await qmp.execute("anything");
    assert.deepEqual(seen, [["SHUTDOWN", "guest-reset"]]);
    qmp.close();
  });

  test("a command without an answer fails after its deadline", async () => {
    const path = await serve(() => {});
    const qmp = await connectQmp(path, systemClock);
    const keepAlive = setInterval(() => {}, 1_000);
    await assert.rejects(qmp.execute("sleep", {}, 20), { code: "qmp_timeout" });
    clearInterval(keepAlive);
    qmp.close();
  });

  test("commands under way fail when QEMU hangs up", async () => {
    const path = await serve((_request, socket) => socket.destroy());
    const qmp = await connectQmp(path, systemClock);
    await assert.rejects(qmp.execute("quit"), { code: "qmp_closed" });
    await assert.rejects(qmp.execute("again"), { code: "qmp_closed" });
  });

  test("a line that is no JSON ends the connection", async () => {
    const path = await serve((_request, socket) => socket.write("garbage\r\n"));
    const qmp = await connectQmp(path, systemClock);
    await assert.rejects(qmp.execute("x"), { code: "qmp_closed" });
  });

  test("nobody at the path is an error", async () => {
    await assert.rejects(connectQmp(`${directory}/none.sock`, systemClock), { code: "qmp_closed" });
  });
});
