/** Runs one command over an upgraded connection: input and output with backpressure, resizes, signals and its end. */
import type { Duplex, Readable, Writable } from "node:stream";
import { BangerError } from "../lib/errors.js";
import { encodeSize, type Frame, framePayloadMax, frameType } from "./exec-frames.js";
import { ExecLine, lost, type Reconnect } from "./exec-line.js";

/** How a command ended. */
export type ExecResult = { code: number } | { signal: string; number: number };

export interface ExecStreams {
  /** Absent: the command's input is empty. */
  stdin?: Readable;
  stdout: Writable;
  /** Not used by a command that has a terminal. */
  stderr: Writable;
}

/** Input that may be sent before the guest grants more, so that a signal never waits behind it. */
const stdinWindowBytes = 65_536;

/** What the command wrote could not be written here. */
export class OutputError extends Error {
  constructor(cause: Error) {
    super(`the output cannot be written: ${cause.message}`, { cause });
  }
}

function unreadable(cause: NodeJS.ErrnoException): BangerError {
  const what = cause.code === "EISDIR" ? "it is a directory" : cause.message;
  return new BangerError("input_unreadable", `the command's input cannot be read: ${what}`, {
    hint: "give it another input, such as </dev/null, or use --no-stdin",
    cause,
  });
}

/** Reads a frame's JSON object; `undefined` when it is none. */
function readObject(payload: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(payload.toString("utf8"));
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

const isWhole = (value: unknown, least: number, most: number): value is number =>
  Number.isInteger(value) && (value as number) >= least && (value as number) <= most;

function readResult(payload: Buffer): ExecResult {
  const body = readObject(payload);
  const code = body?.["code"];
  // A guest may answer what it likes; a status that no process has would end this one with an error of Node's.
  if (isWhole(code, 0, 255)) return { code };
  const number = body?.["number"];
  if (typeof body?.["signal"] === "string" && isWhole(number, 1, 64))
    return { signal: body["signal"], number };
  throw new BangerError("exec_protocol", "the guest's agent sent an impossible end of the command");
}

/** Linux takes 128 KiB in one argument, and 2 MiB of arguments and environment in all. */
const argumentsHint = "pass it as input: … | banger vm exec REF -- xargs -0 CMD";

export const argumentsTooLong = (mostBytes: number): BangerError =>
  new BangerError(
    "exec_arguments_too_long",
    `arguments and environment are more than ${mostBytes} bytes as JSON`,
    { hint: argumentsHint },
  );

/** What an `error` frame says, as `exec_<code>`: `exec_not_found`, `exec_not_executable`, `exec_bad_cwd`, … */
function readFailure(payload: Buffer): BangerError {
  const body = readObject(payload);
  const code = typeof body?.["code"] === "string" && /^[a-z_]+$/.test(body["code"]) ? body["code"] : "failed";
  const message =
    typeof body?.["message"] === "string" ? body["message"] : "the command could not be started";
  const error = { code: `exec_${code}`, message, retry: "never" } as const;
  return BangerError.from(error, code === "arguments_too_long" ? { hint: argumentsHint } : {});
}

/** One running command. Output is written to the given streams, which are not ended. */
export class ExecClient {
  /** How the command ended. Rejects with `exec_*` when it could not be started, `exec_lost` when the connection broke. */
  readonly result: Promise<ExecResult>;
  readonly #line: ExecLine;
  readonly #streams: ExecStreams;
  readonly #listeners: (() => void)[] = [];
  #settle!: { resolve: (result: ExecResult) => void; reject: (error: Error) => void };
  #settled = false;
  #stdinCredit = stdinWindowBytes;
  /** Input taken from stdin for which there is no credit yet: one chunk, for then stdin is paused. */
  #unsent: Buffer = Buffer.alloc(0);
  #stdinEnded = false;
  #stdinDone = false;
  /** Outputs that take no more for now. */
  readonly #full = new Set<Writable>();

  /** With `reconnect` the command outlives its connection, where its guest can go on with it. */
  constructor(connection: Duplex, streams: ExecStreams, reconnect?: Reconnect) {
    this.#streams = streams;
    this.result = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    const owner = {
      frame: (frame: Frame) => this.#takeFrame(frame),
      room: () => this.#sendStdin(),
      lost: (error: Error) => this.#fail(error),
    };
    this.#line = new ExecLine(connection, owner, reconnect);
    for (const output of new Set([streams.stdout, streams.stderr])) {
      this.#listen(output, "drain", () => this.#drained(output));
      this.#listen(output, "close", () => this.#drained(output));
      // As by a closed pipe: the command is hung up.
      this.#listen(output, "error", (cause: Error) => this.#fail(new OutputError(cause)));
    }
    this.#wireStdin(streams.stdin);
  }

  /** Tells the command's terminal its new size. */
  resize(cols: number, rows: number): void {
    if (!this.#settled) this.#line.send(frameType.resize, encodeSize(cols, rows));
  }

  /** Sends a signal, by its Linux number, to the command's process group. */
  signal(number: number): void {
    if (!this.#settled) this.#line.send(frameType.signal, Uint8Array.of(number));
  }

  /** Gives the command up: the guest hangs it up, then kills it. */
  destroy(): void {
    this.#fail(lost());
  }

  #listen(emitter: Readable | Writable, event: string, listener: (...values: never[]) => void): void {
    emitter.on(event, listener as (...values: unknown[]) => void);
    this.#listeners.push(() => emitter.off(event, listener as (...values: unknown[]) => void));
  }

  #wireStdin(stdin: Readable | undefined): void {
    if (stdin === undefined) {
      this.#stdinEnded = true;
      this.#sendStdin();
      return;
    }
    this.#listen(stdin, "data", (bytes: Buffer | string) => {
      this.#unsent = Buffer.concat([this.#unsent, Buffer.from(bytes as Buffer)]);
      this.#sendStdin();
    });
    const ended = () => {
      this.#stdinEnded = true;
      this.#sendStdin();
    };
    for (const event of ["end", "close"]) this.#listen(stdin, event, ended);
    // Half of an input must not pass for the whole.
    this.#listen(stdin, "error", (cause: Error) => this.#fail(unreadable(cause)));
  }

  #sendStdin(): void {
    while (this.#unsent.length > 0 && this.#stdinCredit > 0 && !this.#line.full) {
      const part = this.#unsent.subarray(
        0,
        Math.min(this.#unsent.length, this.#stdinCredit, framePayloadMax),
      );
      this.#unsent = this.#unsent.subarray(part.length);
      this.#stdinCredit -= part.length;
      this.#line.send(frameType.stdin, part);
    }
    if (this.#stdinDone || this.#settled) return;
    if (this.#unsent.length > 0) {
      this.#streams.stdin?.pause();
    } else if (this.#stdinEnded) {
      this.#stdinDone = true;
      this.#line.send(frameType.stdinEnd);
    } else {
      this.#streams.stdin?.resume();
    }
  }

  #drained(output: Writable): void {
    this.#full.delete(output);
    if (this.#full.size === 0) this.#line.resume();
  }

  #takeFrame({ type, payload }: Frame): void {
    if (this.#settled) return;
    switch (type) {
      case frameType.stdout:
        return this.#output(this.#streams.stdout, payload);
      case frameType.stderr:
        return this.#output(this.#streams.stderr, payload);
      case frameType.stdinCredit:
        if (payload.length === 4) this.#stdinCredit += payload.readUInt32LE();
        return this.#sendStdin();
      case frameType.exit: {
        const result = readResult(payload);
        this.#leave();
        return this.#settle.resolve(result);
      }
      case frameType.error:
        return this.#fail(readFailure(payload));
      default:
        throw new BangerError("exec_protocol", `the command's connection carries an unknown frame ${type}`);
    }
  }

  #output(output: Writable, payload: Buffer): void {
    // An empty write would wait in line like any other, and no bound counts it.
    if (payload.length === 0 || output.destroyed || output.write(payload)) return;
    this.#full.add(output);
    this.#line.pause();
  }

  #fail(error: Error): void {
    if (this.#settled) return;
    this.#leave();
    this.#settle.reject(error);
  }

  /** Lets go of everything. The connection is of no use any more; stdin is the caller's. */
  #leave(): void {
    this.#settled = true;
    for (const unlisten of this.#listeners) unlisten();
    this.#streams.stdin?.pause();
    this.#line.close();
  }
}
