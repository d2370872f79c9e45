/** Starts the daemon in the background and waits until it answers; of two starts at once one wins, the other joins. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { closeSync, fstatSync, mkdirSync, openSync, readSync } from "node:fs";
import { promisify } from "node:util";
import { type Home, homeHandles } from "../home/handles.js";
import { daemonUnit } from "../home/units.js";
import { daemonArguments, daemonEnvironment, launcherProgram } from "../host/launcher.js";
import { unwritable } from "../host/path-trouble.js";
import type { SocketOwner } from "../host/socket-place.js";
import { pause } from "../lib/clock.js";
import { BangerError, type ErrorBody, fileSizeLimit, filesLimit, type Retry } from "../lib/errors.js";
import { Client } from "./client.js";

interface WaitOptions {
  home: Home;
  env: NodeJS.ProcessEnv;
  /** Called about every 20 ms while the daemon does not answer yet. */
  onWait?: (elapsedMs: number) => void;
  deadlineMs?: number;
  signal?: AbortSignal;
  /** Whose daemon it must be; this user's unless told. */
  owner?: SocketOwner | undefined;
}

export interface StartDaemonOptions extends WaitOptions {
  /** The program that node runs; it must end with status 0 when another daemon serves this home. */
  script: string;
}

const defaultDeadlineMs = 30_000;
/** systemd starts it also while a machine boots, with everything else. */
const serviceDeadlineMs = 120_000;
const pollMs = 20;
const againMs = 1000;
/**
 * How long one that left the home to another is taken at its word before the next is started, by its exit status. 75 is
 * the launcher's own, which costs little: another daemon of this home is starting, serving or ending.
 */
const pauses: Readonly<Record<number, number>> = { 0: againMs, 75: 100 };
const quotedLogBytes = 8 * 1024;
const quotedLogLines = 6;
const stackFrame = /^ +at /;
const tooFewFiles = /^banger-launcher: (.*; at least \d+ are needed)$/;

/** What became of the started process, as far as known. */
type Fate = { is: "running" } | { is: "ended"; status: number | null; how: string; at: number };

/**
 * Returns once the daemon of `home` answers on its socket. The one that held the home may have been ending, so
 * a process that left it to another is followed by the next, as long as nobody answers.
 * @throws BangerError `home_unwritable`, `file_size_limit`, `daemon_failed` with the last words, or `daemon_silent`.
 */
export async function startDaemon(options: StartDaemonOptions): Promise<void> {
  const { home, deadlineMs = defaultDeadlineMs } = options;
  const { apiSocket, daemonLog } = homeHandles(home);
  const log = openLog(home, daemonLog);
  const logStart = fstatSync(log).size;
  try {
    let started = watch(spawnDaemon(options, log));
    let another = false;
    const pid = await answered(options, (late) => {
      const now = started.fate();
      if (now.is === "ended" && now.how === "SIGXFSZ")
        throw fileSizeLimit("the daemon cannot write anything");
      const pauseMs = now.is === "ended" ? pauses[now.status ?? -1] : undefined;
      if (now.is === "ended" && pauseMs === undefined) {
        throw failed(`the daemon ended while starting (${now.how})`, daemonLog, logStart);
      }
      another ||= now.is === "ended";
      if (late) {
        const who = another ? "another daemon seems to hold this home" : "it is still starting";
        const message = `no daemon answers on ${apiSocket} after ${Math.round(deadlineMs / 1000)} s; ${who}`;
        throw failed(message, daemonLog, logStart, "later");
      }
      if (now.is === "ended" && performance.now() - now.at > (pauseMs ?? 0))
        started = watch(spawnDaemon(options, log));
    });
    // One that is still on its way would serve as soon as the other ended, and nobody would have asked for it.
    if (started.child.pid !== pid) started.child.kill();
  } finally {
    closeSync(log);
  }
}

/**
 * Waits until a daemon answers, and returns its pid; while none does, and with `true` once the deadline has passed,
 * `check` may throw.
 */
async function answered(
  { home, owner, deadlineMs = defaultDeadlineMs, signal, onWait }: WaitOptions,
  check: (late: boolean) => void | Promise<void>,
): Promise<number> {
  const startedAt = performance.now();
  for (;;) {
    signal?.throwIfAborted();
    const pid = await answering(new Client(homeHandles(home).apiSocket, owner), signal);
    if (pid !== undefined) return pid;
    const elapsedMs = performance.now() - startedAt;
    await check(elapsedMs > deadlineMs);
    onWait?.(elapsedMs);
    await pause(pollMs);
  }
}

/**
 * Has systemd start the daemon of system mode, where it lets this user, and returns once that answers.
 * @throws BangerError `daemon_stopped` where it does not, `daemon_failed`
 */
export async function startService(options: WaitOptions): Promise<void> {
  const { env, signal } = options;
  const unit = daemonUnit;
  const argv = ["--no-ask-password", "start", unit];
  let refused: unknown;
  try {
    await promisify(execFile)("systemctl", argv, {
      env,
      timeout: serviceDeadlineMs,
      ...(signal && { signal }),
    });
  } catch (cause) {
    signal?.throwIfAborted();
    refused = cause;
  }
  let askAgainAt = 0;
  await answered({ deadlineMs: serviceDeadlineMs, ...options }, async (late) => {
    if (refused !== undefined && performance.now() >= askAgainAt) {
      if (!(await isComing(unit, env))) {
        const hint = `sudo systemctl start ${unit}; see banger system status`;
        const message = `${unit} is not running, and you may not start it`;
        throw new BangerError("daemon_stopped", message, { hint, cause: refused });
      }
      askAgainAt = performance.now() + againMs;
    }
    if (!late) return;
    const hint = `journalctl -u ${unit}; banger system status`;
    throw new BangerError("daemon_failed", `${unit} was started but does not answer`, { hint });
  });
}

/**
 * Whether systemd starts the unit already, as after a daemon that died, or while somebody restarts it: one that is
 * ending may come again, and one that is down comes when a job is queued for it.
 */
async function isComing(unit: string, env: NodeJS.ProcessEnv): Promise<boolean> {
  const argv = ["show", "--property", "ActiveState", "--property", "Job", unit];
  const asked = promisify(execFile)("systemctl", argv, { env, timeout: serviceDeadlineMs });
  const { stdout = "" } = await asked.catch((error: { stdout?: string }) => error);
  return /^(ActiveState=(active|activating|reloading|refreshing|deactivating)|Job=[1-9]\d*)$/m.test(stdout);
}

function openLog(home: Home, path: string): number {
  try {
    mkdirSync(home.state, { recursive: true, mode: 0o700 });
    return openSync(path, "a+", 0o600);
  } catch (error) {
    throw unwritable(path, error);
  }
}

/** A small nursery: the daemon rests most of its life, and V8's usual one keeps megabytes for bursts. */
const memoryFlags = ["--max-semi-space-size=2"];
/** SIGUSR1 opens no debugger; Node 20 does not know this, and daemon/main.ts says so to it. */
const quietFlags = () =>
  ["--disable-sigusr1"].filter((flag) => process.allowedNodeEnvironmentFlags.has(flag));

function spawnDaemon({ env, script }: StartDaemonOptions, log: number): ChildProcess {
  return spawn(
    launcherProgram,
    daemonArguments(process.execPath, [...memoryFlags, ...quietFlags(), script]),
    {
      cwd: "/",
      env: daemonEnvironment(env),
      detached: true,
      stdio: ["ignore", log, log],
    },
  );
}

interface Started {
  child: ChildProcess;
  fate(): Fate;
}

/** Follows the process without holding this one open for it. */
function watch(child: ChildProcess): Started {
  let fate: Fate = { is: "running" };
  const ended = (status: number | null, how: string) => {
    fate = { is: "ended", status, how, at: performance.now() };
  };
  child.once("exit", (status, killedBy) => {
    ended(status, killedBy === null ? `status ${status}` : `${killedBy}`);
  });
  child.once("error", ({ message }) => ended(null, message));
  child.unref();
  return { child, fate: () => fate };
}

/** The pid of the daemon that answers; only "nobody there" counts as none. */
async function answering(client: Client, signal: AbortSignal | undefined): Promise<number | undefined> {
  try {
    return (await client.call("daemon", signal === undefined ? {} : { signal })).pid;
  } catch (error) {
    const code = error instanceof BangerError ? error.code : undefined;
    if (code === "daemon_not_running" || code === "daemon_lost") return;
    throw error;
  }
}

function failed(message: string, logPath: string, from: number, retry: Retry = "never"): BangerError {
  const lines = lastLines(logPath, from);
  const hint = `banger doctor, or read ${logPath}`;
  const named = lines.map(namedError).findLast((error) => error !== undefined);
  if (named !== undefined) {
    const told = { hint, ...named, retry: "never" as const };
    return BangerError.from(told, { message: `the daemon cannot start: ${named.message}` });
  }
  const short = lines.map((line) => tooFewFiles.exec(line)?.[1]).findLast((words) => words !== undefined);
  if (short !== undefined) return filesLimit(`the daemon cannot start: ${short}`);
  const said = lines.length === 0 ? "" : `; it said:\n${lines.map((line) => `  ${line}`).join("\n")}`;
  return new BangerError("daemon_failed", `${message}${said}`, { hint, retry });
}

/** The last lines that the log gained since it was `from` bytes long. */
function lastLines(path: string, from: number): string[] {
  try {
    const file = openSync(path, "r");
    try {
      const { size } = fstatSync(file);
      const start = Math.max(from, size - quotedLogBytes);
      const bytes = Buffer.alloc(Math.max(0, size - start));
      readSync(file, bytes, 0, bytes.length, start);
      const lines = bytes.toString("utf8").split("\n");
      return lines.filter((line) => line.trim() !== "" && !stackFrame.test(line)).slice(-quotedLogLines);
    } finally {
      closeSync(file);
    }
  } catch {
    return [];
  }
}

/** The error that a line of the daemon's log carries, if it is one with a code. */
function namedError(line: string): ErrorBody | undefined {
  try {
    const { error } = JSON.parse(line) as { error?: Partial<ErrorBody> };
    const whole = typeof error?.code === "string" && typeof error.message === "string";
    return whole && error.code !== "internal" ? (error as ErrorBody) : undefined;
  } catch {
    return undefined;
  }
}
