/** The client of a guest's agent: one HTTP exchange per stream, whatever carries the streams. */
import { type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import { type Duplex, type Readable, Writable } from "node:stream";
import type { Static, TSchema } from "@sinclair/typebox";
import type { BangerError } from "../lib/errors.js";
import {
  cannotGoOn,
  garbled,
  parse,
  Refusal,
  readAll,
  refusal,
  replyMaxBytes,
  unreachable,
} from "./agent-errors.js";
import { type AgentHealth, type AgentListener, Done, Health, Ports } from "./agent-replies.js";
import { ByteQueue } from "./bytes.js";
import { ExecClient } from "./exec-stream.js";

export interface AgentExec {
  argv: string[];
  cwd?: string;
  /** Where it starts when it has no directory of its own and the guest no repository. */
  start?: string;
  env?: Record<string, string>;
  tty?: boolean;
  cols?: number;
  rows?: number;
  user?: string;
}

/** What makes a command outlive its stream. */
export interface AgentSession {
  /** Made by whoever asks for the command. What is asked for twice is begun once. */
  session: string;
  /** Bytes of its frames that have come: go on behind them, and begin nothing. */
  received?: number;
  /** How long the command goes on while nobody is connected to it. */
  graceMs: number;
}

export interface FileAttributes {
  /** Permission bits; 0o644 when absent. */
  mode?: number;
  uid?: number;
  gid?: number;
}

interface Call {
  method: string;
  path: string;
  headers?: Record<string, string | number>;
  body?: Buffer;
  /** Ends the exchange early; a deadline is `AbortSignal.timeout(ms)`. */
  signal?: AbortSignal | undefined;
}

const lineEnd = 10;

/** `open` yields a new byte stream to the agent each time, such as `MuxHost.open` or a vsock connection. */
export class AgentClient {
  readonly #open: () => Duplex;

  constructor(open: () => Duplex) {
    this.#open = open;
  }

  /** Whether the guest is up, and since when. */
  health(signal?: AbortSignal): Promise<AgentHealth> {
    return this.#json(Health, { method: "GET", path: "/healthz", signal });
  }

  /** What listens in the guest now. */
  async ports(signal?: AbortSignal): Promise<AgentListener[]> {
    return (await this.#json(Ports, { method: "GET", path: "/ports", signal })).ports;
  }

  /**
   * Calls `listener` with what listens in the guest, at once and again within a second of each change. Nothing more is
   * read from the guest before the listener's promise is kept. Resolves when `signal` aborts; rejects when the agent
   * goes away.
   */
  async watchPorts(listener: (ports: AgentListener[]) => Promise<void>, signal: AbortSignal): Promise<void> {
    await this.#watch("/ports?watch=1", (line) => listener(parse(Ports, line).ports), signal);
  }

  /** The same with the guest's health: at once, again when its init has come up, and every ten seconds. */
  async watchHealth(listener: (health: AgentHealth) => Promise<void>, signal: AbortSignal): Promise<void> {
    await this.#watch("/healthz?watch=1", (line) => listener(parse(Health, line)), signal);
  }

  /** Sets the guest's clock forward by that, or back where it is negative. */
  async addToClock(ms: number, signal?: AbortSignal): Promise<void> {
    await this.#json(Done, { method: "POST", path: `/clock?add=${Math.round(ms)}`, signal });
  }

  /** Asks the guest to end itself; resolves when it has begun to. */
  async shutdown(signal?: AbortSignal): Promise<void> {
    await this.#json(Done, { method: "POST", path: "/shutdown", signal });
  }

  /** Writes the guest's file systems out. */
  async sync(signal?: AbortSignal): Promise<void> {
    await this.#json(Done, { method: "POST", path: "/sync", signal });
  }

  /** Replaces a file of the guest as a whole; it is on the disk afterwards. */
  async putFile(
    path: string,
    content: Buffer,
    attributes: FileAttributes = {},
    signal?: AbortSignal,
  ): Promise<void> {
    const query = new URLSearchParams({ path, mode: (attributes.mode ?? 0o644).toString(8) });
    if (attributes.uid !== undefined) query.set("uid", String(attributes.uid));
    if (attributes.gid !== undefined) query.set("gid", String(attributes.gid));
    const headers = { "content-length": content.length };
    await this.#json(Done, { method: "PUT", path: `/files?${query}`, headers, body: content, signal });
  }

  /** A file of the guest as a stream, which fails when it breaks off before the file's end. */
  getFile(path: string, signal?: AbortSignal): Promise<Readable> {
    return this.#request({ method: "GET", path: `/files?${new URLSearchParams({ path })}`, signal });
  }

  /**
   * Starts a command. Resolves with the stream of its frames, for an ExecClient at this end or at the end of another
   * connection; that the program cannot be run is told there. `signal` counts until then. A stream that breaks
   * closes without an `end`. A session outlives its stream, where the agent is not older than sessions, and is gone on
   * with by its id. @throws BangerError `exec_gone`, `exec_lost` where it cannot be
   */
  async exec(command: AgentExec, signal?: AbortSignal, session?: AgentSession): Promise<Duplex> {
    const exec = (protocol: string, request: object) => {
      const body = Buffer.from(JSON.stringify(request));
      return this.#upgrade(protocol, { method: "POST", path: "/exec", body, signal });
    };
    if (session === undefined) return exec("banger-exec", command);
    try {
      return await exec("banger-session", { ...command, ...session });
    } catch (error) {
      const reason = error instanceof Refusal ? error.reason : undefined;
      if (reason === "upgrade_required" && session.received === undefined)
        return exec("banger-exec", command);
      throw cannotGoOn(reason) ?? error;
    }
  }

  /** Hangs up the session's command, if it runs, and forgets it. */
  async hangUp(id: string, signal?: AbortSignal): Promise<void> {
    const path = `/exec?${new URLSearchParams({ session: id })}`;
    await this.#json(Done, { method: "DELETE", path, signal });
  }

  /** The bytes of a TCP connection to a port of the guest's own loopback. */
  connect({ address, port }: Pick<AgentListener, "address" | "port">, signal?: AbortSignal): Promise<Duplex> {
    const path = `/connect?${new URLSearchParams({ address, port: String(port) })}`;
    return this.#upgrade("banger-tcp", { method: "POST", path, body: Buffer.alloc(0), signal });
  }

  #upgrade(protocol: string, { signal, ...call }: Call & { body: Buffer }): Promise<Duplex> {
    const headers = { connection: "Upgrade", upgrade: protocol, "content-length": call.body.length };
    const giveUp = new AbortController();
    const abort = () => giveUp.abort(signal?.reason);
    signal?.addEventListener("abort", abort);
    if (signal?.aborted) abort();
    return new Promise<Duplex>((resolve, reject) => {
      const sent = this.#send({ ...call, headers, signal: giveUp.signal }, reject);
      sent?.on("upgrade", (_reply: IncomingMessage, stream: Duplex, head: Buffer) => {
        if (head.length > 0) stream.unshift(head);
        resolve(stream);
      });
      sent?.on("response", (reply: IncomingMessage) => void refusal(reply).then(reject, reject));
    }).finally(() => signal?.removeEventListener("abort", abort));
  }

  /** Runs a command without input and drops its output. Resolves with its status, as a shell would tell it. */
  async run(argv: string[], signal: AbortSignal): Promise<number> {
    const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
    const running = new ExecClient(await this.exec({ argv, cwd: "/" }, signal), {
      stdout: nowhere,
      stderr: nowhere,
    });
    const giveUp = () => running.destroy();
    signal.addEventListener("abort", giveUp, { once: true });
    if (signal.aborted) giveUp();
    try {
      const result = await running.result;
      return "code" in result ? result.code : 128 + result.number;
    } finally {
      signal.removeEventListener("abort", giveUp);
    }
  }

  async #watch(path: string, take: (line: string) => Promise<void>, signal: AbortSignal): Promise<void> {
    try {
      const reply = await this.#request({ method: "GET", path, signal });
      const line = new ByteQueue();
      for await (const chunk of reply as AsyncIterable<Buffer>) {
        let start = 0;
        for (let end = chunk.indexOf(lineEnd); end >= 0; end = chunk.indexOf(lineEnd, start)) {
          line.add(chunk.subarray(start, end));
          start = end + 1;
          await take(line.takeAll().toString("utf8"));
          if (signal.aborted) return;
        }
        line.add(chunk.subarray(start));
        if (line.length > replyMaxBytes) throw garbled();
      }
      if (line.length > 0) await take(line.takeAll().toString("utf8"));
    } catch (error) {
      if (signal.aborted) return;
      throw unreachable(error);
    }
    if (!signal.aborted) throw unreachable(new Error("it stopped reporting"));
  }

  async #json<T extends TSchema>(schema: T, call: Call): Promise<Static<T>> {
    return parse(schema, (await readAll(await this.#request(call))).toString("utf8"));
  }

  /** Resolves with a reply of success, its body unread. */
  #request(call: Call): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const sent = this.#send(call, reject);
      sent?.on("response", (reply: IncomingMessage) => {
        const status = reply.statusCode ?? 0;
        if (status >= 200 && status < 300) resolve(reply);
        else refusal(reply).then(reject, reject);
      });
    });
  }

  #send(call: Call, reject: (error: BangerError) => void): ClientRequest | undefined {
    let stream: Duplex;
    try {
      stream = this.#open();
    } catch (error) {
      reject(unreachable(error));
      return undefined;
    }
    const sent = httpRequest({
      method: call.method,
      path: call.path,
      headers: { host: "agent", connection: "close", ...call.headers },
      createConnection: () => stream,
      ...(call.signal === undefined ? {} : { signal: call.signal }),
    });
    /* A stream may break before node:http listens to it. */
    stream.on("error", (cause) => reject(unreachable(cause)));
    const closed = () => reject(unreachable(new Error("the stream closed")));
    stream.on("close", closed);
    const answered = () => stream.off("close", closed);
    sent.on("response", answered);
    sent.on("upgrade", answered);
    sent.on("error", (cause) => {
      stream.destroy();
      reject(unreachable(cause));
    });
    sent.end(call.body);
    return sent;
  }
}
