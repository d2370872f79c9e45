/** Starting the daemon, with a dummy in its place: alone, twice at once, and when it cannot. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Client } from "../../src/client/client.js";
import { startDaemon, startService } from "../../src/client/start-daemon.js";
import { type Home, homeHandles } from "../../src/home/handles.js";
import { homeFrom } from "../../src/host/home.js";
import { BangerError } from "../../src/lib/errors.js";
import { inTemporaryDirectory } from "../doubles/fake-api.js";
import { isRunning, until } from "../e2e/harness.js";

const script = fileURLToPath(new URL("../doubles/dummy-daemon.js", import.meta.url));

interface Place {
  home: Home;
  start(mode?: string, deadlineMs?: number): Promise<void>;
}

/** A home of its own, whose daemons are all killed afterwards. */
function withHome(use: (place: Place) => Promise<void>): Promise<void> {
  return inTemporaryDirectory(async (directory) => {
    const env = { HOME: directory, PATH: process.env["PATH"], BANGER_MODE: "user" };
    const home = homeFrom(env);
    try {
      await use({
        home,
        start: (mode = "serve", deadlineMs = 20_000) =>
          startDaemon({ home, env: { ...env, BANGER_DUMMY: mode }, script, deadlineMs }),
      });
    } finally {
      for (const pid of pidsOf(home)) killIfThere(pid);
    }
  });
}

function pidsOf(home: Home): number[] {
  try {
    return readFileSync(`${home.state}/pids`, "utf8").trim().split("\n").map(Number);
  } catch {
    return [];
  }
}

/** Of all processes that were started for the home, this one alone is left. */
async function comesToRunOnly(home: Home, pid: number): Promise<void> {
  const running = () => pidsOf(home).filter(isRunning);
  await until("no more than one runs", () => running().length <= 1);
  assert.deepEqual(running(), [pid]);
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, "ESRCH");
  }
}

const failsWith = (code: string, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof BangerError, String(error));
  assert.equal(error.code, code);
  assert.match(error.message, message);
  assert.ok(error.hint);
  return true;
};

test("a start returns when the daemon answers", () =>
  withHome(async ({ home, start }) => {
    await start();
    const { pid } = await new Client(homeHandles(home).apiSocket).call("daemon");
    assert.ok(pidsOf(home).includes(pid));
  }));

test("of two starts at once one daemon serves and both return", { timeout: 60_000 }, () =>
  withHome(async ({ home, start }) => {
    await Promise.all([start(), start()]);
    const { pid } = await new Client(homeHandles(home).apiSocket).call("daemon");
    await comesToRunOnly(home, pid);
    assert.equal(readFileSync(`${home.state}/serving`, "utf8"), `${pid}\n`);
  }),
);

test("one that takes long to start is waited for by whoever comes meanwhile, and beside it", () =>
  withHome(async ({ home, start }) => {
    await assert.rejects(start("linger", 1_000), failsWith("daemon_failed", /it is still starting/));
    await until("it runs", () => pidsOf(home).length > 0);
    const [lingering] = pidsOf(home);
    await assert.rejects(start("serve", 1_000), failsWith("daemon_failed", /another daemon seems to hold/));
    assert.deepEqual(pidsOf(home), [lingering]);
    const next = start();
    process.kill(lingering as number, "SIGKILL");
    await next;
    const { pid } = await new Client(homeHandles(home).apiSocket).call("daemon");
    assert.deepEqual(pidsOf(home), [lingering, pid]);
  }));

test("a process still on its way when another daemon answers is ended by who started it", () =>
  withHome(async ({ home, start }) => {
    await start();
    const { pid } = await new Client(homeHandles(home).apiSocket).call("daemon");
    await start("linger");
    await comesToRunOnly(home, pid);
  }));

test("what a daemon refuses by name is the error, with its own hint", () =>
  withHome(async ({ start }) => {
    await assert.rejects(start("refuse"), failsWith("log_newer", /cannot start: the log is too new/));
  }));

test("a limit of files that is too low is named", { timeout: 60_000 }, () =>
  withHome(async ({ start }) => {
    await assert.rejects(start("no file size"), failsWith("file_size_limit", /ulimit -f\) is too low/));
    await assert.rejects(start("few files"), failsWith("files_limit", /ulimit -n\) is 40; at least 128 are/));
  }),
);

test("a crash is shown by the daemon's last words, without its stack", () =>
  withHome(async ({ start }) => {
    await assert.rejects(start("crash"), (error: Error) => {
      assert.doesNotMatch(error.message, /^\s+at /m);
      return failsWith("daemon_failed", /the dummy crashes/)(error);
    });
  }));

test("a daemon that leaves the place to another which never answers is waited for no longer than the deadline", () =>
  withHome(async ({ start }) => {
    await assert.rejects(
      start("leave", 3_000),
      failsWith("daemon_failed", /another daemon seems to hold this home/),
    );
  }));

test("where the other daemon was about to end, the next process takes its place", () =>
  withHome(async ({ home, start }) => {
    await start("leave once");
    const { pid } = await new Client(homeHandles(home).apiSocket).call("daemon");
    assert.equal(pidsOf(home).indexOf(pid), 1);
  }));

test("a home that cannot be written to is named", () =>
  withHome(async ({ home, start }) => {
    await mkdir(dirname(home.state), { recursive: true });
    await writeFile(home.state, "a file where the directory should be");
    await assert.rejects(start(), failsWith("home_unwritable", /cannot write/));
  }));

/** A double of systemctl, which does this. */
async function fakeSystemctl(directory: string, does: string): Promise<NodeJS.ProcessEnv> {
  await writeFile(`${directory}/systemctl`, `#!/bin/sh\n${does}\n`, { mode: 0o755 });
  return { PATH: `${directory}:${process.env["PATH"]}`, LOG: `${directory}/asked` };
}

test("in system mode systemd is asked to start the daemon, and who may not is told what to type", () =>
  inTemporaryDirectory(async (directory) => {
    const home = homeFrom({ HOME: directory });
    const deny = (state: string, job = "") =>
      `echo "$@" >>"$LOG"; [ "$1" != show ] || { printf 'ActiveState=${state}\\nJob=${job}\\n'; exit 0; }
       echo "Access denied" >&2; exit 4`;
    const denied = await fakeSystemctl(directory, deny("failed"));
    await assert.rejects(
      startService({ home, env: denied }),
      failsWith("daemon_stopped", /bangerd\.service is not running/),
    );
    const asked = [
      "--no-ask-password start bangerd.service",
      "show --property ActiveState --property Job bangerd.service",
      "",
    ];
    assert.equal(readFileSync(`${directory}/asked`, "utf8"), asked.join("\n"));
    for (const [state, job] of [["activating"], ["deactivating"], ["inactive", "4711"]] as const) {
      const coming = await fakeSystemctl(directory, deny(state, job));
      await assert.rejects(
        startService({ home, env: coming, deadlineMs: 100 }),
        failsWith("daemon_failed", /does not answer/),
      );
    }
    const ending = `[ "$1" = show ] || exit 4
      [ -e ${directory}/second ] && echo ActiveState=inactive || echo ActiveState=deactivating
      touch ${directory}/second`;
    await assert.rejects(
      startService({ home, env: await fakeSystemctl(directory, ending) }),
      failsWith("daemon_stopped", /bangerd\.service is not running/),
    );
    const idle = await fakeSystemctl(directory, "exit 0");
    await assert.rejects(
      startService({ home, env: idle, deadlineMs: 100 }),
      failsWith("daemon_failed", /was started but does not answer/),
    );
  }));
