/** The helper's wire under chance: however bytes come, they mean the same, and nothing but valid calls reaches a method. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Value } from "@sinclair/typebox/value";
import fc from "fast-check";
import { type MethodName, methods } from "../../helper/contract.js";
import { longestRequest } from "../../helper/limits.js";
import { Lines, readRequest } from "../../helper/wire.js";
import { reached } from "../reached.js";
import { look, Raw, serve, verdictOf } from "./serve.js";

const numRuns = Number(process.env["BANGER_FUZZ_RUNS"] ?? 300);

const names = Object.keys(methods) as MethodName[];
const word = fc.oneof(
  fc.string(),
  fc.constantFrom("vmId", "__proto__", "constructor", "address", "id", "0a0b0c0d"),
);
/** What clients might call parameters, right now and then. */
const params = fc.oneof(
  fc.record(
    {
      vmId: fc.oneof(fc.constant("0a0b0c0d"), word),
      address: fc.oneof(fc.constant("172.16.0.2"), fc.ipV4(), fc.ipV6()),
      imageId: fc.oneof(fc.constant("debian-0badcafe"), word),
      port: fc.oneof(fc.integer(), fc.constant(5353)),
      size: fc.oneof(fc.integer(), fc.double(), fc.constant(8)),
      pid: fc.integer(),
      startTime: fc.oneof(fc.constant("123"), word),
      signal: fc.constantFrom("SIGTERM", "SIGKILL", "SIGSTOP", 9),
    },
    { requiredKeys: [] },
  ),
  fc.constant({}),
  fc.constant({ vmId: "0a0b0c0d" }),
  fc.dictionary(word, fc.jsonValue()),
  fc.jsonValue(),
);
const request = fc
  .record(
    {
      id: fc.oneof({ weight: 6, arbitrary: fc.nat() }, { weight: 1, arbitrary: fc.jsonValue() }),
      method: fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...names) }, { weight: 1, arbitrary: word }),
      params,
    },
    { requiredKeys: ["id", "method"] },
  )
  .map((value) => Buffer.from(JSON.stringify(value)));
/** Bytes that are no line of ours, or one with a byte changed. */
const damaged = fc.tuple(request, fc.nat(), fc.nat({ max: 255 })).map(([bytes, at, byte]) => {
  bytes[at % bytes.length] = byte;
  return bytes;
});
const noise = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));
const line = fc
  .oneof({ weight: 3, arbitrary: request }, damaged, noise)
  .map((bytes) => Buffer.from(bytes.filter((byte) => byte !== 10)))
  .filter((bytes) => bytes.length < longestRequest);

/** The bytes in pieces that end wherever the numbers say. */
function pieces(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const ends = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  return [...ends, bytes.length].map((end, index) => bytes.subarray(index === 0 ? 0 : ends[index - 1], end));
}

test("however a stream is cut, its lines are the same, and one that is too long is always found", (t) => {
  const hit = reached(t, { "too long": numRuns / 40, whole: numRuns / 10, "several lines": numRuns / 10 });
  fc.assert(
    fc.property(
      fc.array(fc.oneof(noise, fc.constant(Buffer.from("\n")))),
      fc.array(fc.nat(), { maxLength: 20 }),
      fc.integer({ min: 1, max: 400 }),
      (parts, cuts, longest) => {
        const stream = Buffer.concat(parts);
        const read = (chunks: readonly Buffer[]) => {
          const lines = new Lines(longest);
          const found: string[] = [];
          const sound = chunks.every((chunk) =>
            lines.take(chunk, (each) => void found.push(each.toString("hex"))),
          );
          return { found, sound, open: sound && lines.open };
        };
        const expected = stream.toString("latin1").split("\n");
        const tooLong = expected.findIndex((each, index) =>
          index < expected.length - 1 ? each.length + 1 > longest : each.length >= longest,
        );
        const whole = expected.slice(0, tooLong === -1 ? -1 : tooLong);
        const hex = whole.map((each) => Buffer.from(each, "latin1").toString("hex"));
        const open = tooLong === -1 && expected.at(-1) !== "";
        hit(tooLong === -1 ? "whole" : "too long");
        if (whole.length > 1) hit("several lines");
        for (const chunks of [[stream], pieces(stream, cuts), [...stream].map((byte) => Buffer.from([byte]))])
          assert.deepEqual(read(chunks), { found: hex, sound: tooLong === -1, open });
      },
    ),
    { numRuns },
  );
});

test("a line is a valid call or is refused by one of five rules", (t) => {
  const some = numRuns / 30;
  const hit = reached<string>(t, {
    valid: some,
    json: some,
    method: some,
    params: some,
    request: some,
    "utf-8": some,
  });
  fc.assert(
    fc.property(line, (bytes) => {
      const read = readRequest(bytes);
      if ("refusal" in read) {
        assert.match(read.refusal.rule, /^(json|method|params|request|utf-8)$/);
        return hit(read.refusal.rule);
      }
      hit("valid");
      assert.ok(names.includes(read.method));
      assert.ok(Value.Check(methods[read.method].params, read.params));
      assert.deepEqual(Object.keys(read).sort(), ["id", "method", "params"]);
    }),
    { numRuns: numRuns * 5 },
  );
});

test("every line gets one answer, whatever came before it and however it was cut", async (t) => {
  const { path, reached: calls } = await serve(t);
  const hit = reached(t, { valid: numRuns / 15, refused: numRuns / 3 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(line, { maxLength: 30 }),
      fc.array(fc.nat(), { maxLength: 10 }),
      async (lines, cuts) => {
        const before = calls.length;
        const valid = lines.filter((bytes) => !("refusal" in readRequest(bytes))).length;
        const client = new Raw(path);
        const stream = Buffer.concat(lines.flatMap((bytes) => [bytes, Buffer.from("\n")]));
        for (const piece of pieces(stream, cuts)) client.send(piece);
        const answers = await client.answered(lines.length);
        assert.equal(answers.filter((answer) => verdictOf(answer) === "result").length, valid);
        assert.equal(calls.length - before, valid);
        if (valid > 0) hit("valid");
        if (valid < lines.length) hit("refused");
        client.send(look(1));
        assert.equal(verdictOf((await client.answered(lines.length + 1)).at(-1)), "result");
        assert.equal(client.answers.length, lines.length + 1);
        client.socket.destroy();
        await client.closed;
      },
    ),
    { numRuns },
  );
});
