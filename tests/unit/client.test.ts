/** The client against canned replies: what it asks, what it makes of the answers, and how it fails. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Client, requestPath } from "../../src/client/client.js";
import { BangerError } from "../../src/lib/errors.js";
import { FakeApi, inTemporaryDirectory, sendError, sendEvents } from "../doubles/fake-api.js";
import { eventView, vmView } from "../doubles/views.js";

function withApi(use: (api: FakeApi, client: Client) => Promise<void>): Promise<void> {
  return inTemporaryDirectory(async (directory) => {
    const api = await FakeApi.listen(`${directory}/api.sock`);
    try {
      await use(api, new Client(api.socketPath));
    } finally {
      await api.close();
    }
  });
}

const hasCode = (code: string) => (error: unknown) => error instanceof BangerError && error.code === code;

test("refs and query values cannot leave their place in the path", () => {
  assert.equal(requestPath("/v1/vms/:ref", "a/../b?c"), "/v1/vms/a%2F..%2Fb%3Fc");
  assert.equal(
    requestPath("/v1/events", undefined, { type: "vm.*", after: 0, ref: undefined }),
    "/v1/events?type=vm.*&after=0",
  );
});

test("a call sends its body and yields the reply", () =>
  withApi(async (api, client) => {
    api.on("POST /v1/vms/actions", () => ({ results: [{ ref: "box", vm: vmView(), after: 3 }] }));
    const { results } = await client.call("vmAct", { body: { action: "stop", refs: ["box"] } });
    assert.equal(results[0]?.vm?.name, "box");
    assert.deepEqual(api.asked[0]?.body, { action: "stop", refs: ["box"] });
  }));

test("the daemon's error arrives whole", () =>
  withApi(async (api, client) => {
    api.on("GET /v1/vms/x", (_asked, response) =>
      sendError(response, 404, { code: "vm_not_found", message: "no", hint: "list", retry: "later" }),
    );
    await assert.rejects(client.call("vmShow", { ref: "x" }), (error: BangerError) => {
      assert.deepEqual(error.toBody(), { code: "vm_not_found", message: "no", hint: "list", retry: "later" });
      return true;
    });
  }));

test("nonsense, silence, a cut connection and nobody at all have names of their own", () =>
  withApi(async (api, client) => {
    api.on("GET /v1/daemon", (_asked, response) => void response.end("<html>"));
    api.on("GET /v1/vms", (_asked, response) => void response.destroy());
    api.on("GET /v1/images", () => undefined);
    await assert.rejects(client.call("daemon"), hasCode("bad_reply"));
    await assert.rejects(client.call("vmList"), hasCode("daemon_lost"));
    await assert.rejects(client.call("imageList", { timeoutMs: 50 }), hasCode("daemon_silent"));
    await assert.rejects(new Client(`${api.socketPath}.none`).call("daemon"), hasCode("daemon_not_running"));
  }));

test("events arrive one by one however the bytes are cut, until the reader stops", () =>
  withApi(async (api, client) => {
    api.on("GET /v1/events", (_asked, response) => {
      const text = [1, 2]
        .map((seq) => `${JSON.stringify(eventView(seq, "vm.ready", { sentence: "é" }))}\n`)
        .join("");
      const bytes = Buffer.from(text);
      const middle = bytes.indexOf(0xc3) + 1;
      response.write(bytes.subarray(0, middle));
      setImmediate(() => response.write(bytes.subarray(middle)));
    });
    const seen: string[] = [];
    for await (const { seq, sentence } of client.events({ ref: "vm/x", after: 0, follow: true })) {
      seen.push(`${seq}${sentence}`);
      if (seq === 2) break;
    }
    assert.deepEqual(seen, ["1é", "2é"]);
    assert.equal(api.asked[0]?.line, "GET /v1/events?ref=vm%2Fx&after=0&follow=true");
  }));

test("an aborted follow throws the reason", () =>
  withApi(async (api, client) => {
    api.on("GET /v1/events", (_asked, response) => sendEvents(response, [eventView(1, "vm.ready")]));
    const controller = new AbortController();
    const reason = new Error("enough");
    await assert.rejects(async () => {
      for await (const _event of client.events({ follow: true }, controller.signal)) controller.abort(reason);
    }, reason);
  }));

test("an exec is upgraded with nothing lost, or refused with the daemon's error", () =>
  withApi(async (api, client) => {
    api.onExec((_asked, stream) => {
      stream.write(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: banger-exec\r\n\r\nearly",
      );
    });
    const stream = await client.exec("box", { argv: ["true"] });
    stream.resume();
    const [early] = (await once(stream, "data")) as [Buffer];
    assert.equal(early.toString(), "early");
    assert.deepEqual(api.asked[0]?.body, { argv: ["true"] });
    stream.destroy();
    api.onExec((_asked, refused) => {
      const body = JSON.stringify({ error: { code: "vm_not_running", message: "no", retry: "later" } });
      refused.end(
        `HTTP/1.1 503 Refused\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
      );
    });
    await assert.rejects(client.exec("box", { argv: ["true"] }), hasCode("vm_not_running"));
  }));

test("a client that may start the daemon does so once for all requests, and sends only what nobody can have heard", () =>
  inTemporaryDirectory(async (directory) => {
    const path = `${directory}/api.sock`;
    let [started, lists]: [FakeApi[], number] = [[], 0];
    const client = new Client(path, undefined, async () => {
      // A start takes longer than it takes to find that there is no daemon.
      await new Promise((resolve) => setTimeout(resolve, 50));
      const api = await FakeApi.listen(path);
      started = [...started, api];
      // The first answer to each kind of request breaks off.
      api.on("GET /v1/vms", (_asked, response) => (++lists === 1 ? void response.destroy() : []));
      api.on("POST /v1/daemon/stop", (_asked, response) => void response.destroy());
    });
    try {
      await assert.rejects(client.passive.call("vmList"), hasCode("daemon_not_running"));
      assert.deepEqual(await Promise.all([client.call("vmList"), client.call("vmList")]), [[], []]);
      assert.equal(started.length, 1);
      assert.equal(started[0]?.asked.length, 3);
      await assert.rejects(client.call("daemonStop"), hasCode("daemon_lost"));
      assert.equal(started[0]?.asked.length, 4);
    } finally {
      for (const api of started) await api.close();
    }
  }));
