/** The helper's frame against hostile clients: each line is judged by itself, and nothing gets through that is no call. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { limits, longestAnswer, longestRequest } from "../../helper/limits.js";
import { answerLine } from "../../helper/wire.js";
import { ManualClock } from "../manual-clock.js";
import { look, noTap, Raw, serve, until, verdictOf } from "./serve.js";

const vmId = "0a0b0c0d";

test("requests come whole, in pieces and many at once, and each is answered under its id", async (t) => {
  const { path, reached } = await serve(t);
  const client = new Raw(path);
  for (const byte of Buffer.from(`${JSON.stringify(noTap(7, vmId))}\n`)) client.send(Buffer.from([byte]));
  await client.answered(1);
  const many = Array.from({ length: 60 }, (_, index) => JSON.stringify(look(100 + index))).join("\n");
  client.send(`${many}\n`);
  const answers = await client.answered(61);
  assert.deepEqual(answers[0], { id: 7, result: {} });
  assert.deepEqual(new Set(answers.slice(1).map(({ id }) => id)).size, 60);
  assert.equal(reached.length, 61);
});

const deep = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`;
const call = (method: string, params: unknown, id: unknown = 1) => JSON.stringify({ id, method, params });

/** One line each, the rule that refuses it, and whose answer that is. */
const hostile: [rule: string, line: string | Buffer, id?: number | null][] = [
  ["json", "", null],
  ["json", "{", null],
  ["json", "nonsense", null],
  ["json", '{"id":1,}', null],
  ["json", `${JSON.stringify(look(1))} ${JSON.stringify(look(2))}`, null],
  ["json", "\0", null],
  ["json", '{"id":1,"method":"look","params":{}}\0', null],
  ["json", "\ufeff{}", null],
  ["utf-8", Buffer.from([0xff, 0xfe, 0x7b, 0x7d]), null],
  [
    "utf-8",
    Buffer.concat([Buffer.from('{"id":1,"method":"'), Buffer.from([0xc0, 0xaf]), Buffer.from('"}')]),
    null,
  ],
  ["utf-8", Buffer.from([0xed, 0xa0, 0x80]), null],
  ["request", "null", null],
  ["request", "[]", null],
  ["request", "1e999", null],
  ["request", '"look"', null],
  ["request", deep(2000), null],
  ["request", "{}", null],
  ["request", '{"id":1}', 1],
  ["request", '{"id":1,"method":"look"}', 1],
  ["request", '{"id":1,"params":{}}', 1],
  ["request", '{"method":"look","params":{}}', null],
  ["request", call("look", {}, "1"), null],
  ["request", call("look", {}, -1), null],
  ["request", call("look", {}, 1.5), null],
  ["request", call("look", {}, 2 ** 53), null],
  ["request", '{"id":1e999,"method":"look","params":{}}', null],
  ["request", call("look", {}, null), null],
  ["request", call("look", {}, [1]), null],
  ["request", '{"id":1,"method":["look"],"params":{}}'],
  ["request", '{"id":1,"method":"look","params":{},"surplus":1}'],
  ["request", '{"id":1,"method":"look","params":{},"__proto__":{"x":1}}'],
  ["request", '{"__proto__":{"id":1,"method":"look","params":{}}}', null],
  ["method", call("", {})],
  ["method", call("exec", {})],
  ["method", call("Look", {})],
  ["method", call("look ", {})],
  ["method", call("__proto__", {})],
  ["method", call("constructor", {})],
  ["method", call("toString", {})],
  ["method", call("hasOwnProperty", {})],
  ["params", call("look", null)],
  ["params", call("look", [])],
  ["params", call("look", "x")],
  ["params", call("look", { surplus: 1 })],
  ["params", '{"id":1,"method":"look","params":{"__proto__":{"x":1}}}'],
  ["params", '{"id":1,"method":"look","params":{"constructor":1}}'],
  ["params", call("ensureNoTap", {})],
  ["params", call("ensureNoTap", { vmId: null })],
  ["params", call("ensureNoTap", { vmId: [vmId] })],
  ["params", call("ensureNoTap", { vmId: "0A0B0C0D" })],
  ["params", call("ensureNoTap", { vmId: "0a0b0c0" })],
  ["params", call("ensureNoTap", { vmId: "0a0b0c0d0" })],
  ["params", call("ensureNoTap", { vmId: "../../etc" })],
  ["params", call("ensureNoTap", { vmId: "0a0b0c0d\n" })],
  ["params", call("ensureNoTap", { vmId: "0a0b0c0d\0" })],
  ["params", call("ensureNoTap", { vmId: "eth0\u0000000" })],
  ["params", call("ensureNoTap", { vmId, path: "/dev/sda1" })],
  ["params", call("ensureTap", { vmId, address: "::1" })],
  ["params", call("ensureTap", { vmId, address: "172.16.0.2; reboot" })],
  ["params", call("ensureTap", { vmId, address: 2886729730 })],
  ["params", call("ensureResolver", { port: 53 })],
  ["params", call("ensureResolver", { port: 1e999 })],
  ["params", call("ensureResolver", { port: "5353" })],
  ["params", call("ensureTapPool", { size: -1 })],
  ["params", call("ensureTapPool", { size: 65 })],
  ["params", call("ensureTapPool", { size: 1.5 })],
  ["params", '{"id":1,"method":"ensureTapPool","params":{"size":1e400}}'],
  ["params", call("ensureRootDevice", { vmId, imageId: "../secret-0badcafe" })],
  ["params", call("ensureRootDevice", { vmId, imageId: "/dev/sda1" })],
  ["params", call("ensureRootDevice", { vmId, imageId: `${"a".repeat(300)}-0badcafe` })],
  ["params", call("signalVmm", { vmId, pid: 1, startTime: "1", signal: "SIGKILL" })],
  ["params", call("signalVmm", { vmId, pid: -1, startTime: "1", signal: "SIGKILL" })],
  ["params", call("signalVmm", { vmId, pid: 0, startTime: "1", signal: "SIGTERM" })],
  ["params", call("signalVmm", { vmId, pid: 2 ** 31, startTime: "1", signal: "SIGTERM" })],
  ["params", call("signalVmm", { vmId, pid: 77, startTime: "1; id", signal: "SIGTERM" })],
  ["params", call("signalVmm", { vmId, pid: 77, startTime: "1", signal: "SIGSTOP" })],
  ["params", call("signalVmm", { vmId, pid: 77, startTime: "1", signal: 9 })],
  ["params", call("startVmm", { vmId, imageId: "a-0badcafe", initrd: "/etc/shadow" })],
];

test("a line that is no call is refused by name, reaches no method, and the connection goes on", async (t) => {
  const { path, reached, audit } = await serve(t);
  const client = new Raw(path);
  for (const [index, [rule, line, id = 1]] of hostile.entries()) {
    client.send(Buffer.concat([Buffer.from(line as string), Buffer.from("\n")]));
    const answer = (await client.answered(index + 1))[index];
    assert.equal(verdictOf(answer), rule, `${line}`);
    assert.ok(answer !== undefined && "error" in answer);
    assert.equal(answer.id, id, `${line}`);
    assert.equal(answer.error.code, "helper_refused");
    assert.equal(answer.error.retry, "never");
    assert.ok(answer.error.message.length <= 500);
  }
  client.send(look(9));
  assert.deepEqual((await client.answered(hostile.length + 1)).at(-1), { id: 9, result: {} });
  assert.deepEqual(reached, [{ method: "look", params: {} }]);
  assert.equal(audit.length, hostile.length + 1, "each leaves a line in the journal");
  assert.equal(({} as Record<string, unknown>)["x"], undefined);
});

test("a request as long as may be is taken, one byte more ends the connection", async (t) => {
  const { path, reached } = await serve(t);
  const padded = (length: number) => `${JSON.stringify(look(1))}${" ".repeat(length)}`.slice(0, length - 1);
  const fits = new Raw(path);
  fits.send(`${padded(longestRequest)}\n`);
  assert.equal(verdictOf((await fits.answered(1))[0]), "result");
  fits.socket.destroy();
  const tooLong = [`${padded(longestRequest + 1)}\n`, "x".repeat(longestRequest), Buffer.alloc(1 << 20)];
  for (const bytes of tooLong) {
    const client = new Raw(path);
    client.send(bytes, look(2));
    await client.closed;
    assert.deepEqual(client.answers.map(verdictOf), ["request-size"]);
  }
  assert.equal(reached.length, 1, "nothing after it is heard");
});

test("a request that is slow to come ends the connection, however it trickles; a quiet client may stay", async (t) => {
  const clock = new ManualClock();
  const { path } = await serve(t, { clock });
  const client = new Raw(path);
  client.send(look(1));
  await client.answered(1);
  await clock.advance(10 * limits.requestMs);
  client.send(look(2));
  await client.answered(2);
  // A whole line and the beginning of the next: from here on its time runs.
  client.send(`${JSON.stringify(look(3))}\n{`);
  await client.answered(3);
  for (let part = 0; part < 10 && client.answers.length === 3; part++) {
    assert.equal(client.answers.length, 3);
    await clock.advance(limits.requestMs / 10);
    client.send(" ");
  }
  await client.closed;
  assert.deepEqual(client.answers.map(verdictOf), ["result", "result", "result", "request-time"]);
});

test("what a client sends before it hangs up is answered; the part of a line that follows is not", async (t) => {
  const { path, reached } = await serve(t);
  const client = new Raw(path);
  client.socket.end(`${JSON.stringify(look(1))}\n${JSON.stringify(look(2))}`);
  await client.closed;
  assert.deepEqual(client.answers, [{ id: 1, result: {} }]);
  assert.equal(reached.length, 1);
});

test("a client that reads no answers is dropped before they fill the memory", async (t) => {
  const { path, audit } = await serve(t, { methods: { look: async () => ({ taps: "x".repeat(500_000) }) } });
  const client = new Raw(path);
  client.socket.pause();
  for (let id = 0; id < 60; id++) client.send(look(id));
  await until(() => audit.length === 60);
  client.socket.resume();
  await client.closed;
  assert.ok(client.text.length < limits.unreadBytes * 2, `${client.text.length} of 30,000,000 bytes`);
});

test("an answer that is too long becomes a failure under the same id", () => {
  const line = answerLine({ id: 5, result: "x".repeat(longestAnswer) } as never);
  assert.ok(line.length < 1000);
  assert.equal(verdictOf(JSON.parse(line.toString())), "answer_too_long");
  assert.equal(answerLine({ id: 5, result: "x".repeat(longestAnswer - 20) } as never).at(-1), 10);
});
