/** The real agent, compiled for the guest, as a process of the host: its mux listens on a unix socket. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, type Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { AgentClient, type AgentExec } from "../../src/guest/agent.js";
import { ExecClient, type ExecResult } from "../../src/guest/exec-stream.js";
import { MuxHost } from "../../src/guest/mux.js";

const program = fileURLToPath(new URL("../../../build/banger-agent", import.meta.url));

export interface AgentProcess {
  directory: string;
  pid: number;
  /** A new connection, which takes the place of the one before. */
  connect(): Promise<Socket>;
  stop(): Promise<void>;
}

/** Resolves when `attempt` yields a value; tries again each 10 ms. */
export async function eventually<T>(attempt: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const value = await attempt();
    if (value !== undefined) return value;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function tryConnect(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => resolve(socket));
    socket.once("error", () => resolve(undefined));
  });
}

export async function startAgent(mode: "--mux-unix" | "--unix" = "--mux-unix"): Promise<AgentProcess> {
  if (!existsSync(program)) throw new Error(`${program} is missing: run "make build/banger-agent"`);
  const directory = mkdtempSync(join(tmpdir(), "banger-agent-"));
  const path = join(directory, "agent.sock");
  const child: ChildProcess = spawn(program, [mode, path], { stdio: ["ignore", "inherit", "inherit"] });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  return {
    directory,
    pid: child.pid as number,
    connect: () => eventually(() => tryConnect(path)),
    async stop() {
      child.kill("SIGKILL");
      await ended;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

export interface Linked {
  agent: AgentProcess;
  mux: MuxHost;
  client: AgentClient;
  stop(): Promise<void>;
}

export async function startLinked(): Promise<Linked> {
  const agent = await startAgent();
  const mux = new MuxHost(await agent.connect());
  return {
    agent,
    mux,
    client: new AgentClient(() => mux.open()),
    async stop() {
      mux.destroy();
      await mux.closed;
      await agent.stop();
    },
  };
}

/** Takes everything that is written. */
export class Sink extends Writable {
  readonly chunks: Buffer[] = [];
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.chunks.push(Buffer.from(chunk));
    done();
  }
  get text(): string {
    return Buffer.concat(this.chunks).toString("utf8");
  }
}

export interface Ran {
  result: ExecResult;
  stdout: string;
  stderr: string;
}

/** Runs a command to its end and collects what it wrote. */
export async function run(client: AgentClient, command: AgentExec, input?: string | Readable): Promise<Ran> {
  const stdout = new Sink();
  const stderr = new Sink();
  let stdin: Readable | undefined;
  if (typeof input === "string") {
    stdin = new PassThrough();
    (stdin as PassThrough).end(input);
  } else {
    stdin = input;
  }
  const stream = await client.exec(command);
  const exec = new ExecClient(stream, { stdout, stderr, ...(stdin === undefined ? {} : { stdin }) });
  const result = await exec.result;
  return { result, stdout: stdout.text, stderr: stderr.text };
}
