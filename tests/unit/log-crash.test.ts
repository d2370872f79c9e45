/** The log among processes: one of many openers wins, a killed writer loses nothing, a full disk is told. */
import assert from "node:assert/strict";
import { type ChildProcessByStdio, type SpawnSyncReturns, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, rmSync, statSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { systemClock } from "../../src/lib/clock.js";
import { Log } from "../../src/log/log.js";

const program = fileURLToPath(new URL("./log-child.js", import.meta.url));

function scratch(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "banger-log-"));
  t.after(() => rmSync(directory, { recursive: true }));
  return join(directory, "banger.db");
}

function start(t: TestContext, mode: string, path: string): ChildProcessByStdio<Writable, Readable, null> {
  const child = spawn(process.execPath, [program, mode, path], { stdio: ["pipe", "pipe", "inherit"] });
  t.after(() => child.kill("SIGKILL"));
  return child;
}

/** Kills a writer once it has acknowledged `count` events, and yields the last seq that it acknowledged. */
async function killedAfter(t: TestContext, path: string, count: number): Promise<number> {
  const child = start(t, "append", path);
  let last = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    if (line !== "open") last = Number(line);
    if (last >= count) child.kill("SIGKILL");
  }
  return last;
}

const seqs = (log: Log): number[] => [...log.read()].map(({ seq }) => seq);
const upTo = (last: number): number[] => Array.from({ length: last }, (_, index) => index + 1);

test("of six that open a new log at once one wins, and the others are told that it is busy", async (t) => {
  const path = scratch(t);
  const children = Array.from({ length: 6 }, () => start(t, "hold", path));
  const told = await Promise.all(
    children.map(async ({ stdout }) => String((await once(stdout, "data"))[0]).trim()),
  );
  assert.deepEqual(told.sort(), [...Array.from({ length: 5 }, () => "log_busy"), "open"]);
  assert.throws(() => Log.open(path, systemClock), { code: "log_busy" });
  for (const child of children) child.stdin.end();
  await Promise.all(children.map((child) => child.exitCode ?? once(child, "exit")));
  Log.open(path, systemClock).close();
});

test("who wins a new log waits until the one that came second is gone", async (t) => {
  const path = scratch(t);
  const second = start(t, "read", path);
  assert.equal(String((await once(second.stdout, "data"))[0]).trim(), "reads");
  Log.open(path, systemClock).close();
});

test("kill -9 in the middle of appending loses nothing that was acknowledged", async (t) => {
  const path = scratch(t);
  const acknowledged = await killedAfter(t, path, 300);
  const log = Log.open(path, systemClock);
  t.after(() => log.close());
  const last = log.lastSeq();
  assert.ok(last >= acknowledged, `${last} of ${acknowledged}`);
  assert.deepEqual(seqs(log), upTo(last));
  assert.deepEqual(log.checkIntegrity(), []);
});

test("a write-ahead log cut anywhere leaves a sound beginning of the log", async (t) => {
  const path = scratch(t);
  await killedAfter(t, path, 100);
  const whole = statSync(`${path}-wal`).size;
  for (const part of [0, 0.01, 0.3, 0.5, 0.77, 0.999]) {
    const copy = `${path}.cut`;
    copyFileSync(path, copy);
    copyFileSync(`${path}-wal`, `${copy}-wal`);
    truncateSync(`${copy}-wal`, Math.floor(whole * part));
    const log = Log.open(copy, systemClock);
    assert.deepEqual(seqs(log), upTo(log.lastSeq()), `cut at ${part}`);
    assert.deepEqual(log.checkIntegrity(), []);
    log.close();
    for (const suffix of ["", "-wal", "-shm"]) rmSync(`${copy}${suffix}`, { force: true });
  }
});

test("a limit of file sizes is told from a failing disk, at the start and later", (t) => {
  const under = (blocks: number) => {
    const argv = [
      "-c",
      `ulimit -f ${blocks}; exec "$@"`,
      "sh",
      process.execPath,
      program,
      "append",
      scratch(t),
    ];
    return spawnSync("sh", argv, { encoding: "utf8" }).stdout.trim().split("\n");
  };
  assert.deepEqual(under(8), ["file_size_limit"]);
  const later = under(800);
  assert.equal(later.at(-1), "file_size_limit");
  assert.ok(later.length > 2, "it was opened and written to");
});

/** Runs a command as root of namespaces of its own: what it mounts ends with it. */
function isolated(...command: string[]): SpawnSyncReturns<string> {
  const program = "unshare";
  return spawnSync(program, ["--user", "--map-root-user", "--mount", ...command], { encoding: "utf8" });
}

test("a full disk is named, and what was acknowledged is kept", (t) => {
  if (isolated("true").status !== 0) {
    t.skip("this host allows no user namespaces");
    return;
  }
  const target = join(scratch(t), "..");
  const mount = mkdtempSync(join(tmpdir(), "banger-full-"));
  t.after(() => rmSync(mount, { recursive: true }));
  const script =
    'mount -t tmpfs -o size=400k none "$1" && "$2" "$3" append "$1/banger.db" && cp -a "$1"/. "$4"';
  const { stdout, stderr, status } = isolated(
    "sh",
    "-c",
    script,
    "sh",
    mount,
    process.execPath,
    program,
    target,
  );
  assert.equal(status, 0, stderr);
  const lines = stdout.trim().split("\n");
  assert.equal(lines.at(-1), "disk_full");
  const acknowledged = lines.length - 2;
  assert.ok(acknowledged > 0);
  const log = Log.open(join(target, "banger.db"), systemClock);
  t.after(() => log.close());
  assert.ok(log.lastSeq() >= acknowledged);
  assert.deepEqual(seqs(log), upTo(log.lastSeq()));
  assert.deepEqual(log.checkIntegrity(), []);
});
