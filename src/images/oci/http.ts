/** HTTP requests with a bound on everything: redirects, silence, and bytes kept in memory. */
import { type IncomingMessage, request as plainRequest } from "node:http";
import { request as tlsRequest } from "node:https";
import type { Clock } from "../../clock.js";
import { BangerError } from "../../errors.js";

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

const mostRedirects = 5;
const silenceMs = 60_000;
const redirects = new Set([301, 302, 303, 307, 308]);

const unreachable = (url: URL, cause: unknown): BangerError => {
  const reason = (cause as Error).message || (cause as NodeJS.ErrnoException).code;
  return new BangerError("registry_unreachable", `${url.host} does not answer: ${reason}`, {
    hint: `curl -v ${url.protocol}//${url.host}/v2/`,
    retry: "later",
    cause,
  });
};

/** Ends what it guards when nothing was heard for `silenceMs`, or when the caller wants it no more. */
class Watch {
  private timer: { cancel(): void } | undefined;
  private readonly give = (): void => this.finish(this.outer.reason);
  private cause: unknown;

  constructor(
    private readonly clock: Clock,
    private readonly outer: AbortSignal,
    private readonly url: URL,
    private readonly destroy: (cause: Error) => void,
  ) {
    outer.addEventListener("abort", this.give, { once: true });
    this.heard();
  }

  heard(): void {
    this.timer?.cancel();
    this.timer = this.clock.after(silenceMs, () => {
      this.finish(unreachable(this.url, new Error(`nothing for ${silenceMs / 1000} s`)));
    });
  }

  /** What an error means: the caller's own end, silence, or the network. */
  reason(error: unknown): unknown {
    return this.cause ?? unreachable(this.url, error);
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

/** One request, without redirects. */
function send(clock: Clock, { url, method, headers, body, signal }: HttpRequest): Promise<HttpResponse> {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const make = url.protocol === "https:" ? tlsRequest : plainRequest;
    const request = make(url, { method: method ?? "GET", headers });
    const watch = new Watch(clock, signal, url, (cause) => request.destroy(cause));
    request.on("error", (error) => {
      watch.end();
      reject(watch.reason(error));
    });
    request.once("response", (message) => {
      watch.heard();
      resolve(answer(message, watch));
    });
    request.end(body);
  });
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
export function httpClient(clock: Clock): Http {
  return async (first) => {
    let request = first;
    for (let hops = 0; hops <= mostRedirects; hops++) {
      const response = await send(clock, request);
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
