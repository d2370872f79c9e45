/** Carries one command's bytes between a client's upgraded connection and its guest, without looking at them. */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type ApiErrorBody } from "../contract/contract.js";
import { ExecRequest } from "../contract/guest.js";
import { argumentsHint } from "../guest/exec-stream.js";
import { BangerError, errorBody } from "../lib/errors.js";
import { validator } from "./validation.js";

const path = /^\/v1\/vms\/([^/?]+)\/exec$/;
/** What Linux takes (2 MiB of arguments and environment) fits, however JSON has to spell it. */
const maximumBodyBytes = 16 * 1024 * 1024;
const protocol = "banger-exec";
/** RFC 9110, 15.5.22: such a reply names the protocol that is wanted. */
const upgradeStatus = 426;

/** A command's bytes go both ways at once, which a plain request cannot carry. */
export const upgradeRequired = (): BangerError =>
  new BangerError("upgrade_required", `commands run over a connection upgraded to ${protocol}`, {
    hint: "use banger vm exec REF -- CMD; docs/openapi.json describes the frames",
  });

export interface ExecTarget {
  /**
   * `ended` is to be called when the command has ended or its client has gone; `gone` tells that the client went
   * before it began. @throws BangerError
   */
  start(ref: string, request: ExecRequest, gone: AbortSignal): Promise<{ guest: Duplex; ended: () => void }>;
  statusOf(error: ApiErrorBody): number;
}

const parseRequest = validator<ExecRequest>(ExecRequest, "body");

/** The request body: with an upgrade Node leaves it in the connection, unread. */
async function readBody(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<[Buffer, Buffer]> {
  const length = Number(request.headers["content-length"] ?? Number.NaN);
  if (!Number.isInteger(length) || length < 0)
    throw new BangerError("invalid_request", "exec requires a content-length");
  if (length > maximumBodyBytes) {
    const message = `arguments and environment are ${length} bytes as JSON; the limit is ${maximumBodyBytes}`;
    throw new BangerError("exec_arguments_too_long", message, { hint: argumentsHint });
  }
  let bytes = head;
  while (bytes.length < length) {
    const chunk = (socket.read() as Buffer | null) ?? undefined;
    if (chunk !== undefined) bytes = Buffer.concat([bytes, chunk]);
    else if (socket.readableEnded || socket.destroyed) throw new BangerError("invalid_request", "cut short");
    else await nextReadable(socket);
  }
  return [bytes.subarray(0, length), bytes.subarray(length)];
}

function nextReadable(socket: Duplex): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      for (const name of ["readable", "end", "close"]) socket.off(name, done);
      resolve();
    };
    for (const name of ["readable", "end", "close"]) socket.on(name, done);
  });
}

const headOf = (status: string, headers: readonly string[]): string =>
  [`HTTP/1.1 ${status}`, ...headers, "", ""].join("\r\n");

function refuse(socket: Duplex, status: number, error: ApiErrorBody): void {
  const body = Buffer.from(JSON.stringify({ error }));
  const headers = [
    "content-type: application/json",
    `content-length: ${body.length}`,
    "connection: close",
    ...(status === upgradeStatus ? [`upgrade: ${protocol}`] : []),
  ];
  socket.end(Buffer.concat([Buffer.from(headOf(`${status} Refused`, headers)), body]));
}

/** The commands under way: `upgrade` is the listener for the server's event of that name. */
export function execProxy(target: ExecTarget) {
  const sockets = new Set<Duplex>();
  const running = new Set<Promise<void>>();
  return {
    upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
      const run = serve(target, request, socket, head).finally(() => running.delete(run));
      running.add(run);
    },
    /** Lets go of every connection; resolves when what follows from their ends is done. The server would wait. */
    async close(): Promise<void> {
      for (const socket of sockets) socket.destroy();
      await Promise.all(running);
    },
  };
}

async function serve(
  target: ExecTarget,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  socket.on("error", () => socket.destroy());
  try {
    const ref = path.exec(request.url ?? "")?.[1];
    if (ref === undefined || request.method !== "POST") {
      throw new BangerError("not_found", `no such route: ${request.method} ${request.url}`);
    }
    if (request.headers.upgrade !== protocol) throw upgradeRequired();
    const [body, rest] = await readBody(request, socket, head);
    await carry(target, decodeRef(ref), parseRequest(parseJson(body)), socket, rest);
  } catch (thrown) {
    const error = errorBody(thrown);
    refuse(socket, target.statusOf(error), error);
  }
}

function decodeRef(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw new BangerError("invalid_request", `"${text}" is not valid in a URL`, { cause });
  }
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch (cause) {
    throw new BangerError("invalid_request", "the body is not JSON", { cause });
  }
}

async function carry(
  target: ExecTarget,
  ref: string,
  request: ExecRequest,
  socket: Duplex,
  rest: Buffer,
): Promise<void> {
  const gone = new AbortController();
  socket.on("close", () => gone.abort());
  const { guest, ended } = await target.start(ref, request, gone.signal);
  guest.on("error", () => socket.destroy());
  socket.write(headOf("101 Switching Protocols", ["connection: Upgrade", `upgrade: ${protocol}`]));
  if (rest.length > 0) guest.write(rest);
  // The end of input is a frame. A client whose bytes end has gone, and its command with it.
  const fromClient = pipeline(socket, guest, { end: false })
    .catch(() => undefined)
    .then(() => guest.destroy());
  await pipeline(guest, socket).catch(() => undefined);
  guest.destroy();
  await fromClient;
  ended();
}
