/** A double of the daemon's API: canned replies on a unix socket, and a record of what was asked. */
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";

export interface Asked {
  /** "GET /v1/vms?x=y". */
  line: string;
  body: unknown;
}

type Reply = (asked: Asked, response: ServerResponse) => unknown;
type Upgrade = (asked: Asked, stream: Duplex) => void;

/**
 * Routes are "METHOD /path" without query; a last part of "*" is any.
 * A reply that returns a value answers 200 with it as JSON.
 */
export class FakeApi {
  readonly asked: Asked[] = [];
  readonly #replies = new Map<string, Reply>();
  #upgrade: Upgrade = (_asked, stream) => stream.destroy();
  readonly #server: Server;
  readonly #streams = new Set<Duplex>();

  private constructor(readonly socketPath: string) {
    this.#server = createServer((request, response) => void this.#answer(request, response));
    this.#server.on("upgrade", (request, stream: Duplex, head: Buffer) => {
      void this.#accept(request, stream, head);
    });
    this.#server.on("connection", (stream: Duplex) => {
      this.#streams.add(stream);
      stream.on("error", () => undefined);
      stream.on("close", () => this.#streams.delete(stream));
    });
  }

  static async listen(socketPath: string): Promise<FakeApi> {
    const api = new FakeApi(socketPath);
    await new Promise<void>((resolve) => api.#server.listen(socketPath, resolve));
    return api;
  }

  on(route: string, reply: Reply): this {
    this.#replies.set(route, reply);
    return this;
  }

  onExec(upgrade: Upgrade): this {
    this.#upgrade = upgrade;
    return this;
  }

  async close(): Promise<void> {
    for (const stream of this.#streams) stream.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = "";
    for await (const chunk of request.setEncoding("utf8")) text += chunk;
    const asked = {
      line: `${request.method} ${request.url}`,
      body: text === "" ? undefined : JSON.parse(text),
    };
    this.asked.push(asked);
    const route = asked.line.split("?")[0] as string;
    const reply = this.#replies.get(route) ?? this.#replies.get(route.replace(/[^/]*$/, "*"));
    if (reply === undefined) {
      sendError(response, 404, {
        code: "not_found",
        message: `no canned reply to ${asked.line}`,
        retry: "never",
      });
      return;
    }
    const value = reply(asked, response);
    if (value === undefined) return;
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(value));
  }

  async #accept(request: IncomingMessage, stream: Duplex, head: Buffer): Promise<void> {
    const length = Number(request.headers["content-length"] ?? 0);
    let bytes = head;
    while (bytes.length < length) bytes = Buffer.concat([bytes, await nextChunk(stream)]);
    const asked = {
      line: `${request.method} ${request.url}`,
      body: JSON.parse(bytes.subarray(0, length).toString("utf8")),
    };
    this.asked.push(asked);
    if (bytes.length > length) stream.unshift(bytes.subarray(length));
    this.#upgrade(asked, stream);
  }
}

const nextChunk = (stream: Duplex): Promise<Buffer> =>
  new Promise((resolve) => {
    stream.once("data", (chunk: Buffer) => {
      stream.pause();
      resolve(chunk);
    });
  });

/** The API's error reply. */
export function sendError(response: ServerResponse, status: number, error: object): undefined {
  response.statusCode = status;
  response.end(JSON.stringify({ error }));
}

/** Answers with events as NDJSON; the connection stays open, as a followed log's does. */
export function sendEvents(response: ServerResponse, events: readonly object[]): undefined {
  response.writeHead(200, { "content-type": "application/x-ndjson" });
  response.write(events.map((event) => `${JSON.stringify(event)}\n`).join(""));
}

/** A directory with a short path, for sockets; gone after `use`. */
export async function inTemporaryDirectory<T>(use: (directory: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), "banger-test-"));
  try {
    return await use(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
