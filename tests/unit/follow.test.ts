/** Following: a stream ends when its reader goes, misses nothing, and reads a file's tail as lines. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import fc from "fast-check";
import { followEvents, followFile, globMatcher, tailBegin } from "../../src/api/follow.js";
import { Ledger } from "../../src/log/ledger.js";
import { Log } from "../../src/log/log.js";
import { daemonStream, event } from "../../src/model/events.js";
import { ManualClock } from "../manual-clock.js";
import { reached } from "../reached.js";

describe("followEvents", () => {
  let ledger: Ledger;
  beforeEach(() => {
    ledger = new Ledger(Log.open(":memory:", new ManualClock()), () => assert.fail("fatal"));
  });
  afterEach(() => ledger.close());
  const append = (count: number) =>
    ledger.commit(
      Array.from({ length: count }, () => event(daemonStream, "daemon.started", { version: "0" })),
      "host:start",
    );

  test("ends when its reader goes, even while nothing happens, and forgets the reader", async () => {
    const gone = new AbortController();
    const events = followEvents(ledger, { after: 0 }, true, gone.signal);
    append(1);
    assert.equal((await events.next()).value?.seq, 1);
    const next = events.next();
    gone.abort();
    assert.equal((await next).done, true);
  });

  test("misses and doubles nothing that is appended while it reads, batch after batch", async () => {
    const gone = new AbortController();
    append(600);
    const seqs: number[] = [];
    for await (const { seq } of followEvents(ledger, { after: 0 }, true, gone.signal)) {
      seqs.push(seq);
      if (seq % 400 === 0 && seq < 1200) append(400);
      if (seqs.length === 1400) gone.abort();
    }
    assert.deepEqual(
      seqs,
      Array.from({ length: 1400 }, (_, n) => n + 1),
    );
  });

  test("a glob matches whole types only", () => {
    assert.deepEqual(["vm.ready", "xvm.ready", "vmxready"].map(globMatcher("vm.*")), [true, false, false]);
    assert.equal(globMatcher("vm.ready")("vm.ready_"), false);
    assert.equal(globMatcher("*")(""), true);
  });
});

describe("followFile", () => {
  let directory: string;
  let path: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "banger-follow-"));
    path = join(directory, "file.log");
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  const read = async (tail?: number) => {
    const chunks: Buffer[] = [];
    const options = { follow: false, from: tail === undefined ? 0 : await tailBegin(path, tail) };
    const never = new AbortController().signal;
    for await (const chunk of followFile(path, options, new ManualClock(), never))
      chunks.push(Buffer.from(chunk));
    return Buffer.concat(chunks).toString("utf8");
  };

  test("the tail is that many last lines, over any blocks", async (t) => {
    const hit = reached(t, { "all of it": 20, "a part": 4, "over blocks": 6 });
    const line = fc.string({ unit: fc.constantFrom("a", "é", " "), maxLength: 20 });
    const lines = fc.array(line, { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(
        lines,
        fc.boolean(),
        fc.nat({ max: 14 }),
        fc.boolean(),
        async (all, ended, tail, long) => {
          const list = long ? ["x".repeat(70_000), ...all, "y".repeat(66_000)] : all;
          const text = list.join("\n") + (ended && list.length > 0 ? "\n" : "");
          writeFileSync(path, text);
          const expected = tail === 0 ? "" : (text.match(/[^\n]*\n|[^\n]+$/g) ?? []).slice(-tail).join("");
          assert.equal(await read(tail), expected);
          assert.equal(await read(), text);
          if (expected === text && text !== "") hit("all of it");
          else if (expected !== "") hit(expected.length > 65_536 ? "over blocks" : "a part");
        },
      ),
      { numRuns: 150 },
    );
  });

  test("a reader goes on where it was; where the file was cut meanwhile, at its beginning", async () => {
    writeFileSync(path, "0123456789");
    const from = async (offset: number) => {
      const never = new AbortController().signal;
      const chunks = followFile(path, { follow: false, from: offset }, new ManualClock(), never);
      let text = "";
      for await (const chunk of chunks) text += chunk.toString();
      return text;
    };
    assert.deepEqual([await from(4), await from(10), await from(11)], ["456789", "", "0123456789"]);
  });

  test("a few bytes hold no more memory than that, however long their reader keeps them", async () => {
    writeFileSync(path, "few");
    const never = new AbortController().signal;
    for await (const chunk of followFile(path, { follow: false, from: 0 }, new ManualClock(), never))
      assert.equal(chunk.buffer.byteLength, 3);
  });

  test("a file that is not there yet is empty, and is followed from its birth; a shorter one from its start", async () => {
    assert.equal(await read(), "");
    const clock = new ManualClock();
    const gone = new AbortController();
    const chunks = followFile(path, { follow: true, from: 0 }, clock, gone.signal);
    const next = async () => {
      const chunk = chunks.next();
      for (let done = false; !done; ) {
        await clock.advance(250);
        done = await Promise.race([chunk.then(() => true), clock.settle().then(() => false)]);
      }
      return String((await chunk).value ?? "end");
    };
    const first = chunks.next();
    writeFileSync(path, "one");
    for (let n = 0; n < 4; n++) await clock.advance(250);
    assert.equal(String((await first).value), "one");
    writeFileSync(path, "2");
    assert.equal(await next(), "2");
    const last = next();
    gone.abort();
    assert.equal(await last, "end");
  });
});
