/** A network process in a network of its own, with a host, a remote machine and a guest that a script plays (lab.py). */
import assert from "node:assert/strict";
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { createInterface, type Interface } from "node:readline";
import { fileURLToPath } from "node:url";
import { networkProgram } from "../../src/host/launcher.js";

const script = fileURLToPath(new URL("../../../tests/net/lab.py", import.meta.url));

export type Answer = Record<string, unknown> & {
  result?: string;
  handle?: string;
  end?: string;
  data?: string;
  lines?: string[];
  code?: number;
  addresses?: string[];
};

export class Lab {
  readonly #directory = mkdtempSync(`${tmpdir()}/banger-net-`);
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #lines: Interface;
  readonly #answers: AsyncIterator<string>;

  private constructor() {
    const user = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
    const argv = ["--net", ...user, "--", "/usr/bin/python3", script, networkProgram, this.#directory];
    this.#process = spawn("unshare", argv, { stdio: ["pipe", "pipe", "inherit"] }) as never;
    this.#lines = createInterface(this.#process.stdout);
    this.#answers = this.#lines[Symbol.asyncIterator]();
  }

  static async open(): Promise<Lab> {
    const lab = new Lab();
    assert.deepEqual(await lab.#next(), { ready: true });
    return lab;
  }

  async #next(): Promise<Answer> {
    const { value, done } = await this.#answers.next();
    assert.ok(!done, "the lab has ended");
    return JSON.parse(value);
  }

  /** One operation of lab.py; they follow one another. */
  do(op: string, options: object = {}): Promise<Answer> {
    this.#process.stdin.write(`${JSON.stringify({ op, ...options })}\n`);
    return this.#next();
  }

  /** One request to the control socket. */
  request(...lines: string[]): Promise<{ end: string; lines: string[] }> {
    return this.do("request", { lines }) as never;
  }

  async policy(name: string, ...lines: string[]): Promise<void> {
    assert.equal((await this.request(`policy ${name}`, ...lines, "commit")).end, `ok ${name}`);
  }

  /** How a connection to that place ends, or "open". */
  async tcp(to: string, port: number, options: object = {}): Promise<string | undefined> {
    return (await this.do("tcp", { to, port, ...options })).result;
  }

  /** Connects and sends the pieces: what came back, until all of them did, and how it ended. */
  async talk(to: string, port: number, pieces: Buffer[], options: object = {}): Promise<Answer> {
    const { handle, result } = await this.do("tcp", { to, port, wait: 10 });
    if (handle === undefined) return { end: result ?? "" };
    const send = pieces.map((piece) => piece.toString("hex"));
    const size = greeting(to).length + Buffer.concat(pieces).length;
    return this.do("exchange", { handle, send, size, wait: 15, ...options });
  }

  async status(): Promise<Record<string, string>> {
    const { lines } = await this.request("status");
    return Object.fromEntries(lines.map((line) => line.split(" ") as [string, string]));
  }

  async close(): Promise<void> {
    this.#process.stdin.end();
    await new Promise((resolve) => this.#process.once("close", resolve));
    this.#lines.close();
    rmSync(this.#directory, { recursive: true });
  }
}

/** What every server of the lab says first. */
export const greeting = (address: string): string =>
  `hello ${address === "10.0.2.2" ? "127.0.0.1" : address}\n`;

/** A TLS ClientHello: for that server, so many bytes longer, in records of at most that size. */
export function clientHello(server: string | null, { padding = 0, record = 16_000 } = {}): Buffer {
  const u16 = (value: number) => Buffer.from([value >> 8, value & 255]);
  const sized = (bytes: Buffer) => Buffer.concat([u16(bytes.length), bytes]);
  const name =
    server === null ? Buffer.alloc(0) : Buffer.concat([Buffer.from([0]), sized(Buffer.from(server))]);
  const extensions = Buffer.concat([
    ...(padding > 0 ? [u16(21), sized(Buffer.alloc(padding))] : []),
    ...(server === null ? [] : [u16(0), sized(sized(name))]),
  ]);
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32, 7),
    Buffer.from([0, 0, 2, 0x13, 1, 1, 0]),
    sized(extensions),
  ]);
  const message = Buffer.concat([Buffer.from([1, 0]), u16(body.length), body]);
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += record)
    records.push(Buffer.from([22, 3, 1]), sized(message.subarray(at, at + record)));
  return Buffer.concat(records);
}

export const cut = (bytes: Buffer, size: number): Buffer[] =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, n) => bytes.subarray(n * size, (n + 1) * size));
