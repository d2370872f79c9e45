/** Typed HTTP over the daemon's unix socket. Takes only types from the contract, so that loading it costs little. */
import type { ClientRequest, IncomingMessage } from "node:http";
import { request } from "node:http";
import type { Duplex } from "node:stream";
import type { Static, TSchema } from "@sinclair/typebox";
import type { ApiErrorBody, EventsQuery, EventView, ExecRequest, LogsQuery, routes } from "./contract.js";
import { BangerError } from "./errors.js";

type Routes = typeof routes;
export type RouteName = keyof Routes;
type ReplyOf<K extends RouteName> = Routes[K]["reply"] extends TSchema ? Static<Routes[K]["reply"]> : never;
type BodyOf<K extends RouteName> = Routes[K] extends { body: infer B extends TSchema } ? Static<B> : never;
type QueryOf<K extends RouteName> = Routes[K] extends { query: infer Q extends TSchema } ? Static<Q> : never;

/** The contract's routes once more, since its own table would bring TypeBox along; the compiler keeps both equal. */
const requestLines = {
  daemon: "GET /v1/daemon",
  daemonStop: "POST /v1/daemon/stop",
  defaults: "GET /v1/defaults",
  vmList: "GET /v1/vms",
  vmCreate: "POST /v1/vms",
  vmAct: "POST /v1/vms/actions",
  vmShow: "GET /v1/vms/:ref",
  vmHealth: "GET /v1/vms/:ref/health",
  vmPorts: "GET /v1/vms/:ref/ports",
  vmSsh: "GET /v1/vms/:ref/ssh",
  vmLogs: "GET /v1/vms/:ref/logs",
  vmHistory: "GET /v1/vms/:ref/history",
  vmWhy: "GET /v1/vms/:ref/why",
  vmExec: "POST /v1/vms/:ref/exec",
  imageList: "GET /v1/images",
  imagePull: "POST /v1/images/pull",
  events: "GET /v1/events",
  eventsVerify: "GET /v1/events/verify",
  eventsReplay: "GET /v1/events/replay",
} as const satisfies { [K in RouteName]: `${Routes[K]["method"]} ${Routes[K]["path"]}` };

export interface CallOptions<K extends RouteName> {
  ref?: string;
  query?: QueryOf<K>;
  body?: BodyOf<K>;
  /** Ends the request; its reason is what the call throws. */
  signal?: AbortSignal;
  /** Silence of the daemon after which the call fails; 60 s unless told. Streams have none once they began. */
  timeoutMs?: number;
}

/** What every request needs, once a route's types are no longer of interest. */
interface RawOptions {
  ref?: string | undefined;
  query?: unknown;
  body?: unknown;
  signal?: AbortSignal | undefined;
  timeoutMs?: number | undefined;
  headers?: Record<string, string>;
}

const defaultTimeoutMs = 60_000;
const replyLimitBytes = 64 * 1024 * 1024;
const lineLimitChars = 4 * 1024 * 1024;

/** The path with `:ref` filled in and the query appended; undefined query values are left out. */
export function requestPath(path: string, ref?: string, query: object = {}): string {
  const filled = path.replace(":ref", encodeURIComponent(ref ?? ""));
  const pairs = Object.entries(query)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${encodeURIComponent(String(value))}`);
  return pairs.length === 0 ? filled : `${filled}?${pairs.join("&")}`;
}

/** A failed connection as a `BangerError`: `daemon_not_running`, `daemon_forbidden` or `daemon_lost`. */
function connectionError(error: Error, socketPath: string): BangerError {
  if (error instanceof BangerError) return error;
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ENOENT" || code === "ECONNREFUSED") {
    return new BangerError("daemon_not_running", "the daemon is not running", {
      hint: "any command that needs it starts it: banger vm list",
      retry: "later",
      cause: error,
    });
  }
  if (code === "EACCES") {
    return new BangerError("daemon_forbidden", `${socketPath} belongs to somebody else`, { cause: error });
  }
  return new BangerError("daemon_lost", `the connection to the daemon broke (${code ?? error.message})`, {
    hint: "banger daemon status",
    retry: "later",
    cause: error,
  });
}

const badReply = (what: string): BangerError =>
  new BangerError("bad_reply", `the daemon's reply makes no sense: ${what}`, {
    hint: "stop it, so that the next command starts this version: banger daemon stop",
  });

async function readBody(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > replyLimitBytes) throw badReply("it is larger than 64 MiB");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw badReply(`not JSON: ${text.slice(0, 80)}`);
  }
}

/** What a reply with a status of 400 or more says. */
async function replyError(response: IncomingMessage): Promise<BangerError> {
  const parsed = parseJson(await readBody(response)) as { error?: Partial<ApiErrorBody> } | null;
  const error = parsed?.error;
  if (typeof error?.code !== "string" || typeof error.message !== "string") {
    return badReply(`status ${response.statusCode} without an error`);
  }
  return new BangerError(error.code, error.message, {
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    retry: error.retry ?? "never",
  });
}

export class Client {
  constructor(readonly socketPath: string) {}

  /** One request, one JSON reply. @throws BangerError as the daemon gave it, or a connection error. */
  async call<K extends RouteName>(route: K, options: CallOptions<K> = {}): Promise<ReplyOf<K>> {
    const response = await this.#open(requestLines[route], options);
    try {
      return parseJson(await readBody(response)) as ReplyOf<K>;
    } catch (error) {
      throw this.#failure(error as Error, options.signal);
    }
  }

  /** Events as they are in the log; with `follow` without end. Throws `daemon_lost` when the daemon goes away. */
  async *events(query: EventsQuery, signal?: AbortSignal): AsyncGenerator<EventView> {
    const response = await this.#open(requestLines.events, { query, signal });
    response.setEncoding("utf8");
    let rest = "";
    try {
      for await (const chunk of response as AsyncIterable<string>) {
        const lines = (rest + chunk).split("\n");
        rest = lines.pop() ?? "";
        if (rest.length > lineLimitChars) throw badReply("an event longer than 4 MiB");
        for (const line of lines) if (line !== "") yield parseJson(line) as EventView;
      }
      if (rest !== "") yield parseJson(rest) as EventView;
    } catch (error) {
      throw this.#failure(error as Error, signal);
    } finally {
      response.destroy();
    }
  }

  /** The bytes of a VM's console or VMM log. */
  async *logs(ref: string, query: LogsQuery, signal?: AbortSignal): AsyncGenerator<Buffer> {
    const response = await this.#open(requestLines.vmLogs, { ref, query, signal });
    try {
      yield* response as AsyncIterable<Buffer>;
    } catch (error) {
      throw this.#failure(error as Error, signal);
    } finally {
      response.destroy();
    }
  }

  /** Asks for a command in the guest; the stream then speaks banger-exec frames, `head` being the first bytes. */
  async exec(ref: string, body: ExecRequest): Promise<{ stream: Duplex; head: Buffer }> {
    const { outgoing, settled } = this.#send(requestLines.vmExec, {
      ref,
      body,
      headers: { connection: "Upgrade", upgrade: "banger-exec" },
    });
    const upgraded = new Promise<{ stream: Duplex; head: Buffer }>((resolve) => {
      outgoing.once("upgrade", (_response, stream, head) => {
        (stream as unknown as { setTimeout(ms: number): void }).setTimeout(0);
        resolve({ stream, head });
      });
    });
    const refused = settled.then(async (response): Promise<never> => {
      if ((response.statusCode ?? 0) >= 400) throw await replyError(response);
      response.destroy();
      throw badReply(`status ${response.statusCode} instead of an upgrade`);
    });
    return Promise.race([upgraded, refused]);
  }

  async #open(line: string, options: RawOptions): Promise<IncomingMessage> {
    const response = await this.#send(line, options).settled;
    if ((response.statusCode ?? 0) >= 400) throw await replyError(response);
    return response;
  }

  #send(line: string, options: RawOptions): { outgoing: ClientRequest; settled: Promise<IncomingMessage> } {
    const [method, path] = line.split(" ") as [string, string];
    const body = options.body === undefined ? undefined : JSON.stringify(options.body);
    const length =
      body === undefined
        ? {}
        : { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    const outgoing = request({
      socketPath: this.socketPath,
      path: requestPath(path, options.ref, options.query as object | undefined),
      method,
      agent: false,
      headers: { ...length, ...options.headers },
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    const timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
    outgoing.setTimeout(timeoutMs, () => {
      outgoing.destroy(
        new BangerError("daemon_silent", `the daemon gave no answer within ${timeoutMs / 1000} s`, {
          hint: "banger doctor",
          retry: "later",
        }),
      );
    });
    const settled = new Promise<IncomingMessage>((resolve, reject) => {
      outgoing.once("response", (response) => {
        outgoing.setTimeout(0);
        resolve(response);
      });
      outgoing.on("error", (error) => reject(this.#failure(error, options.signal)));
    });
    outgoing.end(body);
    return { outgoing, settled };
  }

  #failure(error: Error, signal: AbortSignal | undefined): Error {
    if (signal?.aborted) return signal.reason as Error;
    return connectionError(error, this.socketPath);
  }
}
