/** Replies that go on: logs and events, holds, and connections that change to another protocol. */
import { type IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { type Duplex, Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { FastifyInstance, FastifyReply } from "fastify";
import { BangerError } from "../lib/errors.js";

/** Begins a reply whose body has no length; the server takes its hands off. */
function begin(reply: FastifyReply, contentType: string, headers: Record<string, string>): ServerResponse {
  reply.hijack();
  reply.raw.writeHead(200, { "content-type": contentType, ...headers });
  reply.raw.flushHeaders();
  return reply.raw;
}

/** Answers with what the generator yields, at the pace at which the client reads. */
export async function stream(
  reply: FastifyReply,
  contentType: string,
  chunks: AsyncIterable<string | Buffer>,
  headers: Record<string, string> = {},
): Promise<void> {
  // A client that goes away is how most endless streams end.
  await pipeline(Readable.from(chunks), begin(reply, contentType, headers)).catch(() => undefined);
}

/** Answers with nothing; the client ends it. */
export const silence = (reply: FastifyReply): ServerResponse => begin(reply, "text/plain", {});

/** Answers with a change to the protocol that the request asked for; the connection is the caller's from now on. */
export function switchTo(protocol: string, reply: FastifyReply): Duplex {
  const { raw, request } = { raw: reply.raw, request: reply.request.raw };
  reply.hijack();
  raw.detachSocket(request.socket);
  request.socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: ${protocol}\r\n\r\n`,
  );
  return request.socket;
}

/** The body of a request that asks for another protocol: Node leaves it in the connection, unread. */
async function* bodyBefore(request: IncomingMessage): AsyncGenerator<Buffer> {
  const { socket } = request;
  for (let left = Number(request.headers["content-length"] ?? 0); left > 0; ) {
    const chunk = socket.read(Math.min(left, socket.readableLength || left)) as Buffer | null;
    if (chunk !== null) {
      left -= chunk.length;
      yield chunk;
    } else if (socket.readableEnded || socket.destroyed) {
      throw new BangerError("invalid_request", "the request was cut short");
    } else {
      await readable(socket);
    }
  }
}

/** Resolves when there is something to read, or will never be. */
function readable(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      for (const name of ["readable", "end", "close"]) socket.off(name, done);
      resolve();
    };
    for (const name of ["readable", "end", "close"]) socket.on(name, done);
  });
}

/** The server's connections that asked for another protocol, which it forgets as soon as they have. */
export class Upgrades {
  readonly #sockets = new Set<Duplex>();
  readonly #requests = new WeakSet<IncomingMessage>();
  readonly #running = new Set<Promise<unknown>>();
  #closing = false;

  constructor(app: FastifyInstance) {
    app.addHook("preParsing", async ({ raw }, _reply, payload) =>
      this.#requests.has(raw) ? Readable.from(bodyBefore(raw), { objectMode: false }) : payload,
    );
    app.server.on("upgrade", (request: IncomingMessage, socket: Socket, head: Buffer) => {
      this.#requests.add(request);
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
      socket.on("error", () => socket.destroy());
      const response = new ServerResponse(request);
      response.shouldKeepAlive = false;
      response.assignSocket(socket);
      response.on("finish", () => socket.end());
      // Whoever asks for this protocol has nothing but JSON to send.
      request.headers["content-type"] ??= "application/json";
      if (head.length > 0) socket.unshift(head);
      app.routing(request, response);
    });
  }

  /** Whether ends are this daemon's own. */
  get closing(): boolean {
    return this.#closing;
  }

  /** What goes on with a connection, which the daemon waits for before it ends. */
  async during<T>(work: Promise<T>): Promise<T> {
    this.#running.add(work);
    return work.finally(() => this.#running.delete(work));
  }

  /** Lets go of every connection; resolves when what follows from their ends is done. */
  async close(): Promise<void> {
    this.#closing = true;
    for (const socket of this.#sockets) socket.destroy();
    await Promise.allSettled(this.#running);
  }
}
