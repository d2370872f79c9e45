/** Typed HTTP over the daemon's Unix socket. Takes only types from the contract, so that loading it costs little. */
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Static, TSchema } from "@sinclair/typebox";
import type { ApiErrorBody, LogsQuery, routes } from "../contract/contract.js";
import type { EventsQuery, EventView } from "../contract/events.js";
import type { ExecRequest, VmHold } from "../contract/guest.js";
import { logOffsetHeader, receivedHeader, sessionHeader } from "../contract/headers.js";
import type { SocketOwner } from "../host/socket-place.js";
import { pause } from "../lib/clock.js";
import { BangerError } from "../lib/errors.js";
import { linesOf } from "../lib/lines.js";
import { badReply, connectionError, isLost, silent } from "./errors.js";
import { bodyOf, type Exchange, exchange, type Reply } from "./socket-http.js";

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
  vmHold: "POST /v1/holds/:ref",
  vmAct: "POST /v1/vms/actions",
  vmSet: "POST /v1/vms/set",
  vmShow: "GET /v1/vms/:ref",
  vmHealth: "GET /v1/vms/:ref/health",
  vmStats: "GET /v1/vms/:ref/stats",
  vmPorts: "GET /v1/vms/:ref/ports",
  vmSsh: "GET /v1/vms/:ref/ssh",
  vmLogs: "GET /v1/vms/:ref/logs",
  vmHistory: "GET /v1/vms/:ref/history",
  vmWhy: "GET /v1/vms/:ref/why",
  vmExec: "POST /v1/vms/:ref/exec",
  unknownVmList: "GET /v1/unknown-vms",
  unknownVmKill: "POST /v1/unknown-vms/:ref/kill",
  imageList: "GET /v1/images",
  imageAvailable: "GET /v1/catalog/images",
  imageShow: "GET /v1/images/:ref",
  imagePull: "POST /v1/images/pull",
  imageRegister: "POST /v1/images/register",
  imagePromote: "POST /v1/images/:ref/promote",
  imageDelete: "DELETE /v1/images/:ref",
  imageCachePrune: "POST /v1/images/cache/prune",
  kernelList: "GET /v1/kernels",
  kernelAvailable: "GET /v1/catalog/kernels",
  kernelShow: "GET /v1/kernels/:ref",
  kernelPull: "POST /v1/kernels/pull",
  kernelImport: "POST /v1/kernels/import",
  kernelDelete: "DELETE /v1/kernels/:ref",
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

const defaultTimeoutMs = 60_000;
/** A question that a daemon's end left without an answer is asked again so often, and not at once. */
const mostAsked = 3;
const askAgainMs = 100;
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

async function readBody(reply: Reply): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of bodyOf(reply)) {
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
async function replyError(reply: Reply): Promise<BangerError> {
  const parsed = parseJson(await readBody(reply)) as { error?: Partial<ApiErrorBody> } | null;
  const error = parsed?.error;
  if (typeof error?.code !== "string" || typeof error.message !== "string") {
    return badReply(`status ${reply.status} without an error`);
  }
  return BangerError.from({ retry: "never", ...error, code: error.code, message: error.message });
}

/** What makes a command outlive the daemon that carries it: see the contract. */
export interface Session {
  id: string;
  received?: number | undefined;
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

export class Client {
  /** The start that is under way, which all requests wait for. */
  #starting: Promise<void> | undefined;

  constructor(
    readonly socketPath: string,
    /** Whose daemon it must be; this user's unless told. */
    readonly owner?: SocketOwner,
    /** Starts the daemon where a request finds none, and the request is then sent; without it that is an error. */
    readonly start?: () => Promise<void>,
  ) {}

  /** The same daemon, which is never started for it. */
  get passive(): Client {
    return new Client(this.socketPath, this.owner);
  }

  /**
   * One request, one JSON reply. A client that starts the daemon also asks a question again that a daemon's end left
   * without an answer. @throws BangerError as the daemon gave it, or a connection error.
   */
  async call<K extends RouteName>(route: K, options: CallOptions<K> = {}): Promise<ReplyOf<K>> {
    const line = requestLines[route];
    const most = this.start !== undefined && line.startsWith("GET ") ? mostAsked : 1;
    for (let asked = 1; ; asked++) {
      try {
        return await this.#guarded(options.signal, async () => {
          const reply = await this.#open(line, options);
          return parseJson(await readBody(reply)) as ReplyOf<K>;
        });
      } catch (error) {
        if (asked >= most || !isLost(error)) throw error;
      }
      await pause(askAgainMs);
    }
  }

  /** Events as they are in the log; with `follow` without end. Throws `daemon_lost` when the daemon goes away. */
  async *events(query: EventsQuery, signal?: AbortSignal): AsyncGenerator<EventView> {
    for await (const line of linesOf(this.#bytes(requestLines.events, { query, signal }), lineLimitChars)) {
      if (line.length >= lineLimitChars) throw badReply("an event longer than 4 MiB");
      if (line !== "") yield parseJson(line) as EventView;
    }
  }

  /** The bytes of a VM's console or VMM log; `began` is told where in it they begin. */
  logs(
    ref: string,
    query: LogsQuery,
    signal?: AbortSignal,
    began?: (offset: number) => void,
  ): AsyncGenerator<Buffer> {
    const headed = ({ headers }: Reply) => began?.(Number(headers.get(logOffsetHeader) ?? 0));
    return this.#bytes(requestLines.vmLogs, { ref, query, signal }, headed);
  }

  /** Asks for a command in the guest; the connection then speaks the frames of src/guest/exec-frames.ts, once resumed. */
  async exec(ref: string, body: ExecRequest, session?: Session): Promise<Duplex> {
    const headers = {
      connection: "Upgrade",
      upgrade: "banger-exec",
      ...(session && { [sessionHeader]: session.id }),
      ...(session?.received !== undefined && { [receivedHeader]: String(session.received) }),
    };
    return this.#guarded(undefined, async () => {
      const reply = await this.#open(requestLines.vmExec, { ref, body, headers });
      if (reply.status === 101) return reply.socket;
      reply.socket.destroy();
      throw badReply(`status ${reply.status} instead of an upgrade`);
    });
  }

  /** A connection that the daemon takes for this client's life: see `vm run --rm`. It carries nothing. */
  async hold(commandId: string, body: VmHold): Promise<Duplex> {
    return this.#guarded(undefined, async () => {
      const { socket } = await this.#open(requestLines.vmHold, { ref: commandId, body });
      return socket;
    });
  }

  async *#bytes(line: string, options: RawOptions, headed?: (reply: Reply) => void): AsyncGenerator<Buffer> {
    let socket: Socket | undefined;
    try {
      const reply = await this.#open(line, options);
      socket = reply.socket;
      headed?.(reply);
      yield* bodyOf(reply);
    } catch (error) {
      throw this.#failure(error as Error, options.signal);
    } finally {
      socket?.destroy();
    }
  }

  async #open(line: string, options: RawOptions): Promise<Reply> {
    const [method, path] = line.split(" ") as [string, string];
    const { signal, headers = {}, timeoutMs = defaultTimeoutMs } = options;
    const reply = await this.#reach({
      socketPath: this.socketPath,
      owner: this.owner,
      method,
      path: requestPath(path, options.ref, options.query as object | undefined),
      headers,
      body: options.body === undefined ? undefined : JSON.stringify(options.body),
      signal,
      timeoutMs,
      onSilence: () => silent(timeoutMs),
    });
    if (reply.status >= 400) throw await replyError(reply);
    if (reply.status < 100) throw badReply("it is not HTTP");
    return reply;
  }

  /** Nobody can have heard a request that found no daemon, so it is sent once more when one runs. */
  async #reach(request: Exchange): Promise<Reply> {
    try {
      return await exchange(request);
    } catch (error) {
      const absent = connectionError(error as Error, this.socketPath).code === "daemon_not_running";
      if (!absent || this.start === undefined || request.signal?.aborted) throw error;
    }
    this.#starting ??= this.start().finally(() => {
      this.#starting = undefined;
    });
    await this.#starting;
    return exchange(request);
  }

  async #guarded<T>(signal: AbortSignal | undefined, ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (error) {
      throw this.#failure(error as Error, signal);
    }
  }

  #failure(error: Error, signal: AbortSignal | undefined): Error {
    if (signal?.aborted) return signal.reason as Error;
    return connectionError(error, this.socketPath);
  }
}
