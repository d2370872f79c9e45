/** The client of Firecracker's API against a server that answers what the test says. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { afterEach, beforeEach, describe, test } from "node:test";
import { firecrackerApi } from "../../src/effects/vmm/firecracker/api.js";
import { startCall } from "../../src/effects/vmm/firecracker/machine.js";

describe("firecrackerApi", () => {
  let directory: string;
  let server: Server | undefined;
  const sockets: Socket[] = [];
  const asked: string[] = [];
  const path = () => `${directory}/api.sock`;

  beforeEach(() => {
    directory = mkdtempSync(`${tmpdir()}/banger-api-`);
    asked.length = 0;
  });
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy();
    server?.close();
    rmSync(directory, { recursive: true });
  });

  /** Answers every request with these bytes and keeps the connection open, as Firecracker does. */
  async function serve(answer: string): Promise<void> {
    server = createServer((socket) => {
      sockets.push(socket);
      socket.on("error", () => {});
      socket.on("data", (data) => {
        asked.push(data.toString());
        socket.write(answer);
      });
    });
    await new Promise<void>((resolve) => server?.listen(path(), resolve));
  }
  const sized = (status: string, body: string) =>
    [
      ...[`HTTP/1.1 ${status} `, "Server: Firecracker API", "Connection: keep-alive"],
      ...[`Content-Length: ${body.length}`, "", body],
    ].join("\r\n");

  test("a call that is done has no body and no length, and the connection is given up", async () => {
    await serve("HTTP/1.1 204 \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n\r\n");
    await firecrackerApi(path()).tell(startCall);
    assert.match(asked[0] ?? "", /^PUT \/actions HTTP\/1\.1\r\n/);
    assert.match(asked[0] ?? "", /\r\n\r\n\{"action_type":"InstanceStart"\}$/);
  });

  test("a refusal is told in Firecracker's words", async () => {
    await serve(sized("400", '{"fault_message":"No such file"}'));
    await assert.rejects(firecrackerApi(path()).tell(startCall), {
      code: "firecracker_refused",
      message: "Firecracker refused PUT /actions: No such file",
    });
  });

  test("a refusal without words still is one", async () => {
    await serve(sized("500", "oh"));
    await assert.rejects(firecrackerApi(path()).tell(startCall), { message: /status 500$/ });
  });

  test("its state is asked for and understood", async () => {
    await serve(sized("200", '{"state":"Not started","vmm_version":"1.16.1","id":"x","app_name":"y"}'));
    const { state, vmm_version } = await firecrackerApi(path()).instance();
    assert.deepEqual([state, vmm_version], ["Not started", "1.16.1"]);
  });

  test("what is no answer of Firecracker's is none at all", async () => {
    const answers = [
      sized("200", '{"state":"Dreaming"}'),
      sized("200", "no json"),
      `HTTP/1.1 200 \r\nContent-Length: 99999999\r\n\r\n`,
    ];
    for (const answer of answers) {
      await serve(answer);
      await assert.rejects(firecrackerApi(path()).instance(), { code: "firecracker_unreachable" });
      server?.close();
      for (const socket of sockets.splice(0)) socket.destroy();
    }
  });

  test("nobody at the socket is an error, and so is a call that is given up", async () => {
    await assert.rejects(firecrackerApi(path()).instance(), {
      code: "firecracker_unreachable",
      retry: "later",
    });
    await serve("");
    const stop = new AbortController();
    const waiting = firecrackerApi(path()).tell(startCall, stop.signal);
    stop.abort(new Error("no longer wanted"));
    await assert.rejects(waiting, { message: "no longer wanted" });
  });
});
