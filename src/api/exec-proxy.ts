/** Carries one command's bytes between a client's upgraded connection and its guest, without looking at them. */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type ApiErrorBody, ExecRequest } from "../contract.js";
import { BangerError, errorBody } from "../errors.js";
import { validator } from "./validation.js";

const path = /^\/v1\/vms\/([^/?]+)\/exec$/;
const maximumBodyBytes = 1024 * 1024;
export const protocol = "banger-exec";

export interface ExecTarget {
  /** `ended` is to be called when the command has ended or its client has gone. @throws BangerError */
  start(ref: string, request: ExecRequest): Promise<{ guest: Duplex; ended: () => void }>;
  statusOf(error: ApiErrorBody): number;
}

const parseRequest = validator<ExecRequest>(ExecRequest, "body");

/** The request body: with an upgrade Node leaves it in the connection, unread. */
async function readBody(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<[Buffer, Buffer]> {
  const length = Number(request.headers["content-length"] ?? Number.NaN);
  if (!Number.isInteger(length) || length < 0 || length > maximumBodyBytes) {
    throw new BangerError("invalid_request", `exec needs a content-length of at most ${maximumBodyBytes}`);
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
  const headers = ["content-type: application/json", `content-length: ${body.length}`, "connection: close"];
  socket.end(Buffer.concat([Buffer.from(headOf(`${status} Refused`, headers)), body]));
}

/** The listener for `upgrade` on the API's server. */
export function execProxy(target: ExecTarget) {
  return async (request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> => {
    socket.on("error", () => socket.destroy());
    try {
      const ref = path.exec(request.url ?? "")?.[1];
      if (ref === undefined || request.method !== "POST" || request.headers.upgrade !== protocol) {
        throw new BangerError("not_found", `nothing is served at ${request.method} ${request.url}`);
      }
      const [body, rest] = await readBody(request, socket, head);
      await carry(target, decodeURIComponent(ref), parseRequest(parseJson(body)), socket, rest);
    } catch (thrown) {
      const error = errorBody(thrown);
      refuse(socket, target.statusOf(error), error);
    }
  };
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
  const { guest, ended } = await target.start(ref, request);
  guest.on("error", () => socket.destroy());
  socket.write(headOf("101 Switching Protocols", ["connection: Upgrade", `upgrade: ${protocol}`]));
  if (rest.length > 0) guest.write(rest);
  // The command is over when its guest says so; a client that goes away ends it there.
  const fromClient = pipeline(socket, guest, { end: false }).catch(() => undefined);
  socket.on("close", () => guest.destroy());
  await pipeline(guest, socket).catch(() => undefined);
  guest.destroy();
  await fromClient;
  ended();
}
