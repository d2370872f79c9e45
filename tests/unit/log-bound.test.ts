/** Logs of a VMM that runs: their end is kept, and the writer goes on right behind it. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { after, afterEach, beforeEach, describe, test } from "node:test";
import { boundLog, boundLogs } from "../../src/effects/vmm/log-bound.js";
import { written } from "../../src/effects/vmm/log-end.js";
import { type Home, homeHandles, vmHandles } from "../../src/home/handles.js";
import { launcherProgram, vmmArguments } from "../../src/host/launcher.js";
import { systemClock } from "../../src/lib/clock.js";
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

describe("what a program prints that the launcher starts, whoever lives beside it", () => {
  const root = mkdtempSync(`${tmpdir()}/banger-kept-`);
  const path = `${root}/console.log`;
  after(() => rmSync(root, { recursive: true }));

  /** A shell in QEMU's place, whose standard output is the log; `before` is run by the shell that starts it. */
  function printing(script: string, before = ":") {
    const log = openSync(path, "a+", 0o600);
    const reach = { read: ["/usr", "/lib", "/lib64", "/bin", "/proc"], write: [root] };
    const argv = [launcherProgram, ...vmmArguments(reach, "/bin/sh", ["-c", script, root])];
    const child = spawn("sh", ["-c", `${before}; exec "$@"`, "sh", ...argv], {
      stdio: ["pipe", log, "inherit"],
    });
    closeSync(log);
    return { child, ended: once(child, "exit") };
  }
  /** Processes that have this among their arguments. */
  const named = (word: string) =>
    readdirSync("/proc").filter((pid) => {
      try {
        return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").includes(word);
      } catch {
        return false;
      }
    });
  /** The log's timers alone would not keep this process alive. */
  const clock = {
    ...systemClock,
    after: (ms: number, call: () => void) => {
      const timer = setTimeout(call, ms);
      return { cancel: () => clearTimeout(timer) };
    },
  };

  test("never takes more than 16 MiB and a little, and its last lines are there when it has ended", async () => {
    // By name, as QEMU opens it.
    const { ended, child } = printing("seq 1 6000000 >/proc/self/fd/1");
    let largest = 0;
    while (child.exitCode === null) {
      largest = Math.max(largest, statSync(path).size);
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.deepEqual(await ended, [0, null]);
    assert.ok(await written(path, clock));
    assert.ok(largest > 1 << 20 && largest <= (16 << 20) + (64 << 10), `${largest} bytes at most`);
    const lines = readFileSync(path, "latin1").split("\n").slice(0, -1).map(Number);
    assert.ok(lines.length > 100_000);
    assert.equal(lines.at(-1), 6_000_000);
    assert.ok(lines.every((each, index) => index === 0 || each === (lines[index - 1] as number) + 1));
  });

  test("waits for no room: what does not fit is lost", async () => {
    rmSync(path);
    const { ended } = printing("seq 1 1000000", "ulimit -f 128");
    assert.deepEqual(await ended, [0, null]);
    assert.ok(await written(path, clock));
    assert.ok(statSync(path).size >= 64 << 10 && statSync(path).size <= 128 << 10);
  });

  test("goes through a process of other words, which ends with it", async () => {
    rmSync(path);
    const { child, ended } = printing("echo begun; read line");
    const word = "echo begun; read line";
    while (!statSync(path, { throwIfNoEntry: false })?.size) await new Promise(setImmediate);
    assert.deepEqual(named(word), [`${child.pid}`]);
    const lateClock = new ManualClock();
    const waits = written(path, lateClock);
    await lateClock.advance(2_100);
    assert.equal(await waits, false, "there may be more to come");
    child.kill("SIGKILL");
    await ended;
    assert.ok(await written(path, clock));
  });
});
