/** A banger of its own for a test: real CLI, daemon, QEMU and guests in a home that is gone afterwards. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import type { VmView } from "../../src/contract/contract.js";
import type { EventView } from "../../src/contract/events.js";
import { type Home, homeHandles } from "../../src/home/handles.js";
import { homeFrom } from "../../src/host/home.js";

export const program = new URL("../../../bin/banger", import.meta.url).pathname;
/** Images take minutes to build and never change: every test home shares them, and so does the next run. */
export const sharedData = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "banger-tests");

export interface Ended {
  status: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface Started {
  child: ChildProcess;
  ended: Promise<Ended>;
  /** What it has printed so far. */
  soFar(): string;
}

export interface RunOptions {
  input?: string | Readable;
  env?: NodeJS.ProcessEnv;
  /** Kills the command when it takes longer. */
  timeoutMs?: number;
}

const starts = new Set(["run", "create", "start", "restart"]);

/** Most tests need nothing of the guest's init, whose start takes three times as long as the VM's. */
function withoutInit(args: readonly string[]): readonly string[] {
  const silent = args[0] === "vm" && starts.has(args[1] ?? "") && !args.includes("--wait");
  return silent ? [...args.slice(0, 2), "--wait", "agent", ...args.slice(2)] : args;
}

export class TestHome {
  readonly root: string;
  readonly env: NodeJS.ProcessEnv;
  readonly home: Home;

  /** `more` is given the test's own directory. */
  constructor(more: (root: string) => NodeJS.ProcessEnv = () => ({})) {
    this.root = mkdtempSync("/tmp/banger-e2e-");
    goesWithUs(this.root);
    this.env = {
      ...process.env,
      NO_COLOR: "1",
      BANGER_MODE: "user",
      XDG_STATE_HOME: join(this.root, "state"),
      XDG_CONFIG_HOME: join(this.root, "config"),
      XDG_CACHE_HOME: join(this.root, "cache"),
      XDG_DATA_HOME: sharedData,
      ...more(this.root),
    };
    this.home = homeFrom(this.env);
  }

  start(given: readonly string[], { input, env, timeoutMs = 120_000 }: RunOptions = {}): Started {
    const child = spawn(program, withoutInit(given), {
      env: { ...this.env, ...env },
      cwd: this.root,
      timeout: timeoutMs,
      killSignal: "SIGKILL",
    });
    const out: Record<"stdout" | "stderr", Buffer[]> = { stdout: [], stderr: [] };
    for (const name of ["stdout", "stderr"] as const) {
      child[name].on("data", (chunk: Buffer) => out[name].push(chunk));
    }
    child.stdin.on("error", () => undefined);
    if (typeof input === "object") input.pipe(child.stdin);
    else child.stdin.end(input ?? "");
    const text = (name: "stdout" | "stderr") => Buffer.concat(out[name]).toString("utf8");
    const ended = new Promise<Ended>((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (status, signal) =>
        resolve({ status, signal, stdout: text("stdout"), stderr: text("stderr") }),
      );
    });
    return { child, ended, soFar: () => text("stdout") };
  }

  run(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
    return this.start(args, options).ended;
  }

  /** Runs a command that must succeed; yields what it printed. */
  async ok(...args: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.run(args);
    assert.equal(status, 0, `banger ${args.join(" ")} ended with ${status}\n${stdout}${stderr}`);
    return stdout;
  }

  async json<T>(...args: string[]): Promise<T> {
    return JSON.parse(await this.ok(...args, "--json")) as T;
  }

  vm(name: string): Promise<VmView> {
    return this.json<VmView>("vm", "show", name);
  }

  async events(ref: string): Promise<EventView[]> {
    const text = await this.ok("events", ref, "--json");
    return text.trim() === ""
      ? []
      : text
          .trim()
          .split("\n")
          .map((line) => JSON.parse(line) as EventView);
  }

  async daemonPid(): Promise<number> {
    return (await this.json<{ pid: number }>("daemon", "status")).pid;
  }

  /** The daemon dies as in a power cut, and is gone when this resolves. */
  async killDaemon(): Promise<void> {
    const pid = await this.daemonPid();
    process.kill(pid, "SIGKILL");
    await until("the daemon is dead", () => !isRunning(pid));
  }

  /** What is left of VMs on the host: processes, sockets, directories. */
  leftovers(): string[] {
    const { vms, runtimeVms } = homeHandles(this.home);
    const entries = (path: string) =>
      existsSync(path) ? readdirSync(path).map((name) => `${path}/${name}`) : [];
    return [...vmmPids(this.root).map((pid) => `process ${pid}`), ...entries(vms), ...entries(runtimeVms)];
  }

  async dispose(): Promise<void> {
    await this.run(["daemon", "stop"]).catch(() => undefined);
    for (const pid of processesOf(this.root)) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It has ended by itself.
      }
    }
    await until("every process of the home is gone", () => processesOf(this.root).length === 0);
    rmSync(this.root, { recursive: true, force: true });
    places.delete(this.root);
  }
}

const places = new Set<string>();

/** A directory that goes, with every process that names it, when this process is told to end before its time. */
export function goesWithUs(path: string): void {
  if (places.size === 0)
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, end);
  places.add(path);
}

/**
 * Nothing is waited for but those that are killed: whoever ends us may not wait for long. A second signal, as each of
 * make, npm and node passes on the one that their group has got already, does not cut it short.
 */
function end(signal: NodeJS.Signals): void {
  for (const path of places) {
    for (let looks = 0; looks < 50; looks++) {
      const left = processesOf(path);
      if (left.length === 0) break;
      for (const pid of left) {
        try {
          process.kill(pid, "SIGKILL");
        } catch {
          // It has ended by itself.
        }
      }
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
    }
    rmSync(path, { recursive: true, force: true });
  }
  process.removeListener(signal, end);
  process.kill(process.pid, signal);
}

/** Processes whose command line or environment names the test's directory, this one excluded. */
function processesOf(root: string): number[] {
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid && isRunning(pid))
    .filter((pid) => {
      try {
        const [command, environment] = ["cmdline", "environ"].map((name) =>
          readFileSync(`/proc/${pid}/${name}`, "latin1"),
        ) as [string, string];
        return command.includes(root) || environment.includes(root);
      } catch {
        return false;
      }
    });
}

const vmmPids = (root: string): number[] =>
  processesOf(root).filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "latin1").includes("guest=banger-");
    } catch {
      // It has ended since it was listed.
      return false;
    }
  });

/** A zombie has ended; it is only not yet waited for. */
export function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2));
  } catch {
    return false;
  }
}

/** Waits for a state of the world; the deadline only bounds a failing test. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  deadlineMs = 60_000,
): Promise<void> {
  const end = Date.now() + deadlineMs;
  while (!(await holds())) {
    assert.ok(Date.now() < end, `still not so after ${deadlineMs / 1000} s: ${what}`);
    await pause(50);
  }
}

/** Runs a test in a home of its own and takes it away whatever happens. */
export async function withHome(
  body: (home: TestHome) => Promise<void>,
  more?: (root: string) => NodeJS.ProcessEnv,
): Promise<void> {
  const home = new TestHome(more);
  try {
    await body(home);
  } finally {
    await home.dispose();
  }
}
