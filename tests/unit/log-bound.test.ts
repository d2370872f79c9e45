/** Logs of a VMM that runs: their end is kept, and the writer goes on right behind it. */
import assert from "node:assert/strict";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { afterEach, beforeEach, describe, test } from "node:test";
import { boundLog, boundLogs } from "../../src/effects/vmm/log-bound.js";
import { type Home, homeHandles, vmHandles } from "../../src/home/handles.js";
import { ManualClock } from "../manual-clock.js";

const mebibyte = 1 << 20;
const line = `${"x".repeat(1023)}\n`;
const id = "0123abcd";

describe("a log's bound", () => {
  let root: string;
  let home: Home;
  beforeEach(() => {
    root = mkdtempSync(`${tmpdir()}/banger-bound-`);
    home = { state: `${root}/s`, data: "", cache: "", config: "", runtime: "" };
    mkdirSync(vmHandles(home, id).directory, { recursive: true });
  });
  afterEach(() => rmSync(root, { recursive: true }));

  /** A log that is held open for appending, as QEMU holds it. */
  function grow(path: string, bytes: number): number {
    const writer = openSync(path, "a", 0o600);
    writeSync(writer, line.repeat(bytes / line.length));
    return writer;
  }

  test("past 16 MiB the last whole lines stay, and the writer goes on behind them without a hole", async () => {
    const path = `${root}/log`;
    const writer = grow(path, 16 * mebibyte);
    await boundLog(path);
    assert.equal(statSync(path).size, 16 * mebibyte, "not past it yet");
    writeSync(writer, "the last line\n");
    await boundLog(path);
    writeSync(writer, "the next line\n");
    closeSync(writer);
    const lines = readFileSync(path, "latin1").split("\n");
    assert.deepEqual(lines.slice(-3), ["the last line", "the next line", ""]);
    assert.deepEqual(new Set(lines.slice(0, -3)), new Set([line.trim()]));
    assert.equal(lines.length, 1023 + 3);
  });

  test("an end without any line is kept whole, and a missing log is nothing to bound", async () => {
    const path = `${root}/log`;
    writeFileSync(path, "");
    truncateSync(path, 17 * mebibyte);
    await boundLog(path);
    assert.equal(statSync(path).size, mebibyte);
    await boundLog(`${root}/missing`);
  });

  test("both logs of each VM that runs, and the daemon's own, are bounded time and again, until the end", async () => {
    const clock = new ManualClock();
    const { consoleLog, vmmLog } = vmHandles(home, id);
    const { daemonLog } = homeHandles(home);
    const told: string[] = [];
    const end = boundLogs(
      home,
      clock,
      () => [id],
      (message) => told.push(message),
    );
    const until = async (holds: () => boolean) => {
      while (!holds()) await clock.advance(10_000);
    };
    const isShort = (path: string) => statSync(path).size === mebibyte - line.length;
    for (let round = 1; round <= 2; round++) {
      for (const path of [consoleLog, vmmLog, daemonLog]) closeSync(grow(path, 17 * mebibyte));
      await until(() => [consoleLog, vmmLog, daemonLog].every(isShort));
    }
    rmSync(consoleLog);
    mkdirSync(consoleLog);
    await until(() => told.length > 0);
    assert.match(String(told[0]), /not bounded/);
    await end();
    rmSync(vmmLog);
    closeSync(grow(vmmLog, 17 * mebibyte));
    await clock.advance(120_000);
    assert.equal(statSync(vmmLog).size, 17 * mebibyte);
  });
});
