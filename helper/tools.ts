/** Runs the host's own programs as root: only such that nobody else could have replaced, by their open file. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync } from "node:fs";
import type { Clock } from "../src/lib/clock.js";
import { deadline } from "../src/lib/deadline.js";
import type { Metadata } from "./metadata.js";
import { pathOf } from "./paths.js";
import { HostFailure, Refusal } from "./refusal.js";
import { executable } from "./trusted.js";

export interface ToolResult {
  status: number;
  stdout: string;
  stderr: string;
}

/** `tool` is a name of the helper's own table, argv what follows it. */
export type RunTool = (
  tool: ToolName,
  argv: readonly string[],
  options?: { input?: string; goodStatus?: readonly number[] },
) => Promise<ToolResult>;

export interface Tool {
  /** Where it may lie, the first that is there; real files, for distributions have symlinks at the usual names. */
  paths: readonly string[];
  /** What to type when it is not there. */
  hint: string;
}

const debian = (name: string): string => `apt-get install ${name}`;
const reinstall = "banger system install";
const below = (directories: readonly string[], name: string) => directories.map((each) => `${each}/${name}`);
const sbin = ["/usr/sbin", "/usr/bin"];
const bin = ["/usr/bin", "/usr/sbin"];

/** One program under many names: which one it is, it learns from its first argument. */
const iptables: Tool = {
  paths: [...below(sbin, "xtables-nft-multi"), ...below(sbin, "xtables-legacy-multi")],
  hint: debian("iptables"),
};

/** The host's own programs that the helper runs; those of its metadata come to them. */
export const tools = {
  ip: { paths: below(bin, "ip"), hint: debian("iproute2") },
  bridge: { paths: below(sbin, "bridge"), hint: debian("iproute2") },
  nft: { paths: below(sbin, "nft"), hint: debian("nftables") },
  iptables,
  "iptables-restore": iptables,
  dmsetup: { paths: below(sbin, "dmsetup"), hint: debian("dmsetup") },
  resolvectl: { paths: below(bin, "resolvectl"), hint: debian("systemd-resolved") },
} as const satisfies Record<string, Tool>;

export type ToolName = keyof typeof tools | "firecracker" | "jailer";
export type ToolTable = Readonly<Record<ToolName, Tool>>;

/** Every program that the helper ever runs. */
export function toolsOf({ firecracker, jailer }: Pick<Metadata, "firecracker" | "jailer">): ToolTable {
  const installed = (path: string | null): Tool => ({ paths: path === null ? [] : [path], hint: reinstall });
  return { ...tools, firecracker: installed(firecracker), jailer: installed(jailer) };
}

const environment = { PATH: "/usr/sbin:/usr/bin", LC_ALL: "C" };
/** For each of its streams. */
const longestOutput = 4 << 20;
/** `dmsetup remove --retry` takes five seconds until it gives up. */
export const toolDeadlineMs = 15_000;

/**
 * A descriptor of the first of its files that is there and can be trusted, for the caller to close.
 * @throws HostFailure `tool_missing`; Refusal of trusted.ts when none of those that are there can be trusted
 */
export function openTool(name: string, { paths, hint }: Tool): number {
  let refusal: Refusal | undefined;
  for (const path of paths) {
    try {
      return executable(path);
    } catch (error) {
      if (error instanceof Refusal) refusal ??= error;
      else if (!["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    }
  }
  throw refusal ?? new HostFailure("tool_missing", `${name} is not installed`, "never", hint);
}

/**
 * The runner of one call, whose `signal` ends what it runs.
 * It throws HostFailure `tool_missing`, `tool_failed` with the tool's last line, `tool_late`, `tool_output`, Refusal
 * for a program that cannot be trusted, and the signal's own reason.
 */
export const toolRunner =
  (clock: Clock, signal: AbortSignal, table: ToolTable): RunTool =>
  async (name, argv, { input = "", goodStatus = [0] } = {}) => {
    signal.throwIfAborted();
    const fd = openTool(name, table[name]);
    let child: ChildProcess;
    try {
      child = spawnOpen(fd, name, argv, { stdio: "pipe" });
    } finally {
      closeSync(fd);
    }
    const late = () => new HostFailure("tool_late", `${name} took more than ${toolDeadlineMs} ms`);
    const bound = deadline(clock, toolDeadlineMs, late, signal);
    try {
      const result = await finished(child, name, input, bound);
      if (goodStatus.includes(result.status)) return result;
      const last = result.stderr.trim().split("\n").at(-1) || `status ${result.status}`;
      throw new HostFailure("tool_failed", `${name} ${argv.slice(0, 3).join(" ")}: ${last}`);
    } finally {
      bound.release();
    }
  };

interface Spawned {
  stdio: "pipe" | (number | "ignore" | "pipe")[];
  /** In a session of its own, so that it outlives the helper's terminal. */
  detached?: boolean;
}

/** Starts the program behind the descriptor under this name: no shell, no search path, no environment of ours. */
export const spawnOpen = (
  fd: number,
  name: string,
  argv: readonly string[],
  options: Spawned,
): ChildProcess =>
  spawn(pathOf(fd), [...argv], { ...options, argv0: name, env: environment, cwd: "/", shell: false });

/** Its output and status, once it has ended; status 128 is that of one that a signal ended. */
function finished(
  child: ChildProcess,
  name: string,
  input: string,
  bound: { signal: AbortSignal; abort(reason: unknown): void },
): Promise<ToolResult> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      child.kill("SIGKILL");
      // What it started itself may hold them open, and is not waited for.
      child.stdout?.destroy();
      child.stderr?.destroy();
    };
    bound.signal.addEventListener("abort", stop, { once: true });
    const tooMuch = () =>
      bound.abort(new HostFailure("tool_output", `${name} wrote more than ${longestOutput} bytes`, "never"));
    const stdout = collected(child.stdout, tooMuch);
    const stderr = collected(child.stderr, tooMuch);
    child.once("error", (error) =>
      reject(new HostFailure("tool_failed", `${name} cannot be run: ${error.message}`)),
    );
    child.once("close", (code) => {
      bound.signal.removeEventListener("abort", stop);
      if (bound.signal.aborted) reject(bound.signal.reason);
      else resolve({ status: code ?? 128, stdout: stdout(), stderr: stderr() });
    });
    // One that ends without reading all of it says by its status what that means.
    child.stdin?.on("error", () => {});
    child.stdin?.end(input);
  });
}

/** Gathers a stream's text up to the bound. */
function collected(stream: ChildProcess["stdout"], tooMuch: () => void): () => string {
  const parts: Buffer[] = [];
  let length = 0;
  stream?.on("data", (part: Buffer) => {
    length += part.length;
    if (length <= longestOutput) parts.push(part);
    else tooMuch();
  });
  return () => Buffer.concat(parts).toString("utf8");
}
