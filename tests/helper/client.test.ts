/** The daemon's end of the helper's socket, against the helper's own server: errors by name, restarts, calls cut off. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { limits, longestAnswer } from "../../helper/limits.js";
import { HostFailure, Refusal } from "../../helper/refusal.js";
import { type Helper, helperClient } from "../../src/effects/helper/client.js";
import type { BangerError } from "../../src/lib/errors.js";
import { gate, serve, until } from "./serve.js";

const vmId = "0a0b0c0d";
const never = () => new AbortController().signal;

function client(t: { after: (done: () => void) => void }, path: string): Helper {
  const helper = helperClient(path);
  t.after(() => helper.close());
  return helper;
}

function place(t: { after: (done: () => void) => void }): string {
  const directory = mkdtempSync(join(tmpdir(), "banger-client-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return join(directory, "s");
}

const failed = (code: string, retry: "never" | "later", hint?: string) => (error: unknown) => {
  const { code: found, retry: again, hint: hint } = error as BangerError;
  assert.deepEqual([found, again, hint], [code, retry, hint], (error as Error).stack);
  return true;
};
const status = "banger system status";

test("calls go over one connection and find their answers in whatever order these come", async (t) => {
  const held = gate();
  const served = await serve(t, {
    methods: {
      ensureNoTap: () => held.promise.then(() => ({})),
      ensureResolver: async ({ port }) => ({ routed: port === 5353 }),
    },
  });
  let connections = 0;
  served.helper.listener.on("connection", () => connections++);
  const helper = client(t, served.path);
  const slow = helper.call("ensureNoTap", { vmId }, never());
  assert.deepEqual(await helper.call("ensureResolver", { port: 5353 }, never()), { routed: true });
  assert.deepEqual(await helper.call("ensureResolver", { port: 5354 }, never()), { routed: false });
  held.open();
  assert.deepEqual(await slow, {});
  assert.equal(connections, 1);
});

test("what the helper says is what the caller gets: rule, hint and whether to try again", async (t) => {
  const thrown = [
    new Refusal("guest-address", "172.16.9.9 is no guest's address"),
    new HostFailure("tool_missing", "nft is not installed", "never", "apt-get install nftables"),
    new HostFailure("tool_failed", "nft: busy"),
  ];
  const { path } = await serve(t, { methods: { ensureNoTap: async () => Promise.reject(thrown.shift()) } });
  const helper = client(t, path);
  const call = () => helper.call("ensureNoTap", { vmId }, never());
  await assert.rejects(call(), (error: Error) => {
    assert.match(error.message, /no guest's address \(rule guest-address\)$/);
    return failed("helper_refused", "never")(error);
  });
  await assert.rejects(call(), failed("tool_missing", "never", "apt-get install nftables"));
  await assert.rejects(call(), failed("tool_failed", "later"));
});

test("without a helper a call fails for now, and works as soon as there is one", async (t) => {
  const path = place(t);
  const helper = client(t, path);
  await assert.rejects(helper.call("look", {}, never()), failed("helper_unreachable", "later", status));
  await serve(t, { path });
  await helper.call("look", {}, never());
});

test("a helper that restarts cuts off what it has not answered; the next call finds the new one", async (t) => {
  const path = place(t);
  const held = gate();
  const first = await serve(t, { path, methods: { ensureNoTap: () => held.promise.then(() => ({})) } });
  const helper = client(t, path);
  await helper.call("look", {}, never());
  // What is at work when it stops is finished and answered; what waits is not begun.
  const atWork = helper.call("ensureNoTap", { vmId }, never());
  const waiting = assert.rejects(
    helper.call("ensureNoTap", { vmId }, never()),
    failed("helper_stopping", "later"),
  );
  await helper.call("look", {}, never());
  const stopped = first.helper.stop();
  held.open();
  await Promise.all([stopped, atWork, waiting]);
  const second = await serve(t, { path });
  // One more may still go to the old one, when its end has not been heard of.
  await helper.call("look", {}, never()).catch(failed("helper_lost", "later", status));
  await helper.call("ensureNoTap", { vmId }, never());
  assert.ok(second.reached.some(({ method }) => method === "ensureNoTap"));
});

test("a helper that dies cuts off all calls, and each may be made again", async (t) => {
  const path = place(t);
  const server = createServer((socket) => void socket.once("data", () => socket.destroy()));
  server.listen(path);
  await once(server, "listening");
  const helper = client(t, path);
  const calls = [1, 2, 3].map(() => helper.call("ensureNoTap", { vmId }, never()));
  for (const call of calls) await assert.rejects(call, failed("helper_lost", "later", status));
  server.close();
  await once(server, "close");
  await assert.rejects(helper.call("look", {}, never()), failed("helper_unreachable", "later", status));
  await serve(t, { path });
  await helper.call("look", {}, never());
});

test("what the helper says before it hangs up is why the call failed", async (t) => {
  const path = place(t);
  const error = { code: "helper_refused", message: "uid 7 is not the owner's", rule: "peer", retry: "never" };
  const server = createServer((socket) => void socket.end(`${JSON.stringify({ id: null, error })}\n`));
  server.listen(path);
  t.after(() => void server.close());
  await once(server, "listening");
  await assert.rejects(client(t, path).call("look", {}, never()), failed("helper_refused", "never"));
});

test("an answer that makes no sense ends the connection", async (t) => {
  const path = place(t);
  const answers = ["nonsense\n", "x".repeat(longestAnswer + 1)];
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => socket.write(answers.shift() ?? ""));
  });
  server.listen(path);
  t.after(() => void server.close());
  await once(server, "listening");
  const helper = client(t, path);
  while (answers.length > 0)
    await assert.rejects(helper.call("look", {}, never()), failed("helper_lost", "later", status));
});

test("a caller that gives up gets its own reason; the answer that comes after all disturbs nobody", async (t) => {
  const held = gate();
  const { path, audit } = await serve(t, { methods: { ensureNoTap: () => held.promise.then(() => ({})) } });
  const helper = client(t, path);
  const impatient = new AbortController();
  const given = assert.rejects(helper.call("ensureNoTap", { vmId }, impatient.signal), /enough/);
  await helper.call("look", {}, never());
  impatient.abort(new Error("enough"));
  await given;
  await assert.rejects(helper.call("look", {}, impatient.signal), /enough/);
  held.open();
  await until(() => audit.length === 2);
  await helper.call("look", {}, never());
});

test("no more calls are made at once than the helper takes", async (t) => {
  const held = gate();
  const { path } = await serve(t, { methods: { look: () => held.promise.then(() => ({})) } });
  const helper = client(t, path);
  const calls = Array.from({ length: limits.pendingCalls }, () => helper.call("look", {}, never()));
  await assert.rejects(helper.call("look", {}, never()), failed("helper_busy", "later", status));
  held.open();
  await Promise.all(calls);
  await helper.call("about", {}, never());
});

test("a closed client makes no calls, and those under way are cut off", async (t) => {
  const held = gate();
  const { path, reached } = await serve(t, { methods: { look: () => held.promise.then(() => ({})) } });
  const helper = client(t, path);
  const call = assert.rejects(helper.call("look", {}, never()), failed("helper_lost", "later", status));
  await until(() => reached.length === 1);
  helper.close();
  await call;
  held.open();
  await assert.rejects(helper.call("about", {}, never()), failed("helper_lost", "later", status));
});
