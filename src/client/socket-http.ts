/**
 * One HTTP/1.1 exchange on one connection to a unix socket. `node:http` does more and costs every command of the CLI
 * a quarter of its time to load and use; both ends of this socket are ours.
 */
import type { Socket } from "node:net";
import { connectSocket, type SocketOwner } from "../host/socket-place.js";

export interface Exchange {
  socketPath: string;
  /** Whose socket it must be; this user's unless told. */
  owner?: SocketOwner | undefined;
  method: string;
  path: string;
  headers: Readonly<Record<string, string>>;
  body?: string | undefined;
  signal?: AbortSignal | undefined;
  /** Silence before the reply's head after which `onSilence` says what to throw. */
  timeoutMs: number;
  onSilence: () => Error;
}

export interface Reply {
  status: number;
  /** By lower-case name. */
  headers: ReadonlyMap<string, string>;
  /** Paused after the reply's head. With status 101 it belongs to the caller. */
  socket: Socket;
}

const headLimitBytes = 64 * 1024;
const endOfHead = "\r\n\r\n";
const endOfLine = Buffer.from("\r\n");
/** A chunk's size line: hexadecimal digits and perhaps extensions. */
const sizeLineLimitBytes = 256;

/** Sends the request; resolves with the reply's head. An abort rejects with the signal's reason, then or later. */
export function exchange(request: Exchange): Promise<Reply> {
  const { socketPath, signal } = request;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const socket = connectSocket(socketPath, request.owner);
    const abort = () => socket.destroy(signal?.reason as Error);
    signal?.addEventListener("abort", abort);
    socket.once("close", () => signal?.removeEventListener("abort", abort));
    socket.setTimeout(request.timeoutMs, () => socket.destroy(request.onSilence()));
    socket.on("error", reject);
    socket.write(requestText(request));
    let bytes: Buffer = Buffer.alloc(0);
    const cutShort = () => socket.destroy(new Error("it closed the connection before replying"));
    const take = (chunk: Buffer) => {
      bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
      const end = bytes.indexOf(endOfHead);
      if (end === -1) {
        if (bytes.length > headLimitBytes) socket.destroy(new Error("its reply has no complete head"));
        return;
      }
      socket.off("data", take).off("end", cutShort).setTimeout(0);
      socket.pause();
      const rest = bytes.subarray(end + endOfHead.length);
      if (rest.length > 0) socket.unshift(rest);
      resolve({ ...parseHead(bytes.toString("latin1", 0, end)), socket });
    };
    socket.on("data", take).once("end", cutShort);
  });
}

function requestText({ method, path, headers, body }: Exchange): string {
  const sized: Record<string, string> =
    body === undefined
      ? {}
      : { "content-type": "application/json", "content-length": String(Buffer.byteLength(body)) };
  const all = Object.entries({ host: "banger", connection: "close", ...sized, ...headers });
  const lines = all.map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${path} HTTP/1.1\r\n${lines.join("")}\r\n${body ?? ""}`;
}

function parseHead(text: string): Omit<Reply, "socket"> {
  const [first = "", ...lines] = text.split("\r\n");
  const headers = new Map(
    lines.map((line): [string, string] => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  return { status: Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1] ?? 0), headers };
}

/** The reply's body as it comes. Throws when the connection ends before the body does. */
export function bodyOf({ headers, socket }: Reply): AsyncGenerator<Buffer> {
  if (headers.get("transfer-encoding") === "chunked") return chunks(socket);
  const length = headers.get("content-length");
  return exactly(socket, length === undefined ? undefined : Number(length));
}

const cut = () => new Error("the reply was cut short");

async function* exactly(socket: Socket, length: number | undefined): AsyncGenerator<Buffer> {
  let left = length ?? Number.POSITIVE_INFINITY;
  if (left === 0) return;
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    yield left < chunk.length ? chunk.subarray(0, left) : chunk;
    left -= chunk.length;
    if (left <= 0) return;
  }
  if (length !== undefined) throw cut();
}

/** Takes the chunked coding (RFC 9112, 7.1) off; what follows the last chunk is of no interest. */
async function* chunks(socket: Socket): AsyncGenerator<Buffer> {
  let bytes: Buffer = Buffer.alloc(0);
  /** Bytes of the present chunk that are still to come; 0 between chunks. */
  let left = 0;
  /** Whether the line break after a chunk is still to come. */
  let breakDue = false;
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
    while (bytes.length > 0) {
      if (left > 0) {
        const part = bytes.subarray(0, left);
        left -= part.length;
        breakDue = left === 0;
        bytes = bytes.subarray(part.length);
        yield part;
        continue;
      }
      if (breakDue) {
        if (bytes.length < endOfLine.length) break;
        bytes = bytes.subarray(endOfLine.length);
        breakDue = false;
      }
      const end = bytes.indexOf(endOfLine);
      if (end === -1) {
        if (bytes.length > sizeLineLimitBytes) throw new Error("the reply's chunks are malformed");
        break;
      }
      left = Number.parseInt(bytes.toString("latin1", 0, end), 16);
      if (Number.isNaN(left)) throw new Error("the reply's chunks are malformed");
      if (left === 0) return;
      bytes = bytes.subarray(end + endOfLine.length);
    }
  }
  throw cut();
}
