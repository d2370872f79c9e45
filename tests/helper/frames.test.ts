/** The helper's frame against hostile clients: each line is judged by itself, and nothing gets through that is no call. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { limits, longestAnswer, longestRequest } from "../../helper/limits.js";
import { answerLine } from "../../helper/wire.js";
import { ManualClock } from "../manual-clock.js";
import { hostile } from "./hostile.js";
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

test("a client that sends what is refused over and over is ended, and the journal gets no more of it", async (t) => {
  const { path, audit } = await serve(t);
  const client = new Raw(path);
  const flood = `${"[]\n".repeat(5000)}`;
  client.send(look(1), flood, look(2));
  await client.closed;
  assert.equal(audit.length, limits.refusals + 2, "the call, the refusals, and what ended it");
  assert.equal(verdictOf(client.answers.at(-1)), "refusals");
  const other = new Raw(path);
  other.send(look(3));
  assert.equal(verdictOf((await other.answered(1))[0]), "result");
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
