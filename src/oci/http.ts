/** HTTP requests with a bound on everything: redirects, silence, and bytes kept in memory. */
import { type ClientRequest, type IncomingMessage, request as plainRequest } from "node:http";
import { Agent as TlsAgent, request as tlsRequest } from "node:https";
import { isIP, type Socket } from "node:net";
import { connect as connectTls, createSecureContext, type SecureContext } from "node:tls";
import { type Proxies, proxyFor, proxyLogin } from "../host/proxies.js";
import type { Clock } from "../lib/clock.js";
import { BangerError } from "../lib/errors.js";

export interface HttpRequest {
  url: URL;
  method?: "GET" | "POST";
  headers: Record<string, string>;
  body?: string;
  signal: AbortSignal;
}

export interface HttpResponse {
  status: number;
  /** A header by its lower-case name. */
  header(name: string): string | undefined;
  /** Ends with an error when the other side falls silent; to be read to its end, or `close`d. */
  body: AsyncIterable<Uint8Array>;
  close(): void;
}

export type Http = (request: HttpRequest) => Promise<HttpResponse>;

export interface HttpOptions {
  proxies: Proxies;
  /** PEM of all CAs that TLS trusts; undefined for those that Node knows. */
  certificates: string | undefined;
}

const mostRedirects = 5;
const silenceMs = 60_000;
const redirects = new Set([301, 302, 303, 307, 308]);

const unreachable = ({ url, proxy }: Way, cause: unknown): BangerError => {
  const reason = (cause as Error).message || (cause as NodeJS.ErrnoException).code;
  const through = proxy === undefined ? "" : ` through the proxy ${proxy.host}`;
  return new BangerError("registry_unreachable", `${url.host} does not answer${through}: ${reason}`, {
    hint: `curl -v ${url.protocol}//${url.host}/v2/`,
    retry: "later",
    cause,
  });
};

/** Where a request goes, and through which proxy. */
interface Way {
  url: URL;
  proxy: URL | undefined;
}

/** Ends what it guards when nothing was heard for `silenceMs`, or when the caller wants it no more. */
class Watch {
  private timer: { cancel(): void } | undefined;
  private readonly give = (): void => this.finish(this.outer.reason);
  private cause: unknown;

  constructor(
    private readonly clock: Clock,
    private readonly outer: AbortSignal,
    private readonly way: Way,
    private readonly destroy: (cause: Error) => void,
  ) {
    outer.addEventListener("abort", this.give, { once: true });
    this.heard();
  }

  heard(): void {
    this.timer?.cancel();
    this.timer = this.clock.after(silenceMs, () => {
      this.finish(unreachable(this.way, new Error(`nothing for ${silenceMs / 1000} s`)));
    });
  }

  /** What an error means: the caller's own end, silence, or the network. */
  reason(error: unknown): unknown {
    return this.cause ?? unreachable(this.way, error);
  }

  end(): void {
    this.timer?.cancel();
    this.outer.removeEventListener("abort", this.give);
  }

  private finish(cause: unknown): void {
    this.cause = cause;
    this.end();
    this.destroy(new Error("ended"));
  }
}

function answer(message: IncomingMessage, watch: Watch): HttpResponse {
  async function* read(): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of message as AsyncIterable<Uint8Array>) {
        watch.heard();
        yield chunk;
      }
    } catch (error) {
      throw watch.reason(error);
    } finally {
      watch.end();
    }
  }
  const header = (name: string): string | undefined => {
    const value = message.headers[name];
    return Array.isArray(value) ? value.join(", ") : value;
  };
  const close = (): void => {
    watch.end();
    // Nobody reads what a closed answer still has to say, its errors included.
    message.on("error", () => undefined);
    if (!message.readableEnded) message.destroy();
  };
  return { status: message.statusCode ?? 0, header, body: read(), close };
}

const portOf = (url: URL): string => url.port || (url.protocol === "https:" ? "443" : "80");
const nameOf = (url: URL): string => url.hostname.replace(/^\[(.*)\]$/, "$1");

/** What asks a proxy, itself reached as its address says. */
function askProxy(proxy: URL, method: string, path: string, headers: object, tls: TlsOptions): ClientRequest {
  const make = proxy.protocol === "https:" ? tlsRequest : plainRequest;
  const all = { ...headers, ...proxyLogin(proxy) };
  const at = { host: nameOf(proxy), port: portOf(proxy) };
  return make({ ...at, method, path, headers: all, agent: false, ...tls });
}

type TlsOptions = { secureContext?: SecureContext };

const refusesToPass = (way: Way, status: number | undefined): BangerError =>
  unreachable(way, new Error(status === 407 ? "it wants a login (407)" : `it answers ${status}`));

/** Has the proxy lead to where TLS begins; what it says then is the other side's. */
function throughTunnel(way: Way, proxy: URL, tls: TlsOptions, track: (request: ClientRequest) => void) {
  const target = `${way.url.hostname}:${portOf(way.url)}`;
  return new Promise<Socket>((resolve, reject) => {
    const request = askProxy(proxy, "CONNECT", target, { host: target }, tls);
    track(request);
    request.once("error", reject);
    request.once("connect", (answer, socket, head) => {
      if (answer.statusCode === 200) {
        if (head.length > 0) socket.unshift(head);
        resolve(socket as Socket);
      } else {
        socket.destroy();
        reject(refusesToPass(way, answer.statusCode));
      }
    });
    request.end();
  });
}

/** The request itself, not yet ended, on whichever way. */
async function open(
  { url, method = "GET", headers }: HttpRequest,
  way: Way,
  tls: TlsOptions,
  track: (request: ClientRequest) => void,
): Promise<ClientRequest> {
  const { proxy } = way;
  if (proxy === undefined)
    return url.protocol === "https:"
      ? tlsRequest(url, { method, headers, ...tls })
      : plainRequest(url, { method, headers });
  if (url.protocol === "http:") {
    const path = `${url.origin}${url.pathname}${url.search}`;
    return askProxy(proxy, method, path, { host: url.host, ...headers }, tls);
  }
  const socket = await throughTunnel(way, proxy, tls, track);
  const agent = new TlsAgent();
  const servername = isIP(nameOf(url)) === 0 ? nameOf(url) : "";
  agent.createConnection = () => connectTls({ socket, servername, host: nameOf(url), ...tls });
  return tlsRequest(url, { method, headers, agent });
}

/** One request, without redirects. */
async function send(
  clock: Clock,
  asked: HttpRequest,
  proxies: Proxies,
  tls: TlsOptions,
): Promise<HttpResponse> {
  asked.signal.throwIfAborted();
  const way = { url: asked.url, proxy: proxyFor(asked.url, proxies) };
  let current: ClientRequest | undefined;
  const watch = new Watch(clock, asked.signal, way, (cause) => current?.destroy(cause));
  try {
    const request = await open(asked, way, tls, (each) => {
      current = each;
    });
    current = request;
    return await new Promise((resolve, reject) => {
      request.on("error", reject);
      request.once("response", (message) => {
        watch.heard();
        // Only a proxy answers so; a registry asks for its own logins with 401.
        if (message.statusCode !== 407) return resolve(answer(message, watch));
        message.destroy();
        reject(refusesToPass(way, 407));
      });
      request.end(asked.body);
    });
  } catch (error) {
    watch.end();
    throw error instanceof BangerError ? error : watch.reason(error);
  }
}

/** Where a redirect leads. Never from TLS to plain text, and never to anything but HTTP. */
function redirected(from: URL, location: string): URL {
  const to = URL.canParse(location, from.href) ? new URL(location, from) : null;
  const allowed =
    to !== null && (to.protocol === "https:" || (to.protocol === "http:" && from.protocol === "http:"));
  if (!allowed)
    throw new BangerError("registry_protocol", `${from.host} redirects to ${JSON.stringify(location)}`);
  return to;
}

/**
 * The registry's answer, redirects followed; credentials stay with the host that they are for: a request with a body,
 * which is where they lie then, is not sent on at all.
 */
export function httpClient(clock: Clock, { proxies, certificates }: HttpOptions): Http {
  const tls = certificates === undefined ? {} : { secureContext: createSecureContext({ ca: certificates }) };
  return async (first) => {
    let request = first;
    for (let hops = 0; hops <= mostRedirects; hops++) {
      const response = await send(clock, request, proxies, tls);
      const location = response.header("location");
      if (!redirects.has(response.status) || location === undefined) return response;
      response.close();
      if (request.body !== undefined)
        throw new BangerError("registry_protocol", `${request.url.host} sends a login on to another address`);
      const url = redirected(request.url, location);
      const { authorization: _, ...others } = request.headers;
      request = { ...request, url, headers: url.origin === request.url.origin ? request.headers : others };
    }
    throw new BangerError("registry_protocol", `${first.url.host} redirects without end`);
  };
}

/** A whole answer of at most `limit` bytes. @throws BangerError `registry_protocol` when it is longer */
export async function readAll(response: HttpResponse, limit: number, what: string): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of response.body) {
    length += part.length;
    if (length > limit) {
      response.close();
      throw new BangerError("registry_protocol", `${what} is longer than ${limit} bytes`);
    }
    parts.push(part);
  }
  return Buffer.concat(parts);
}
