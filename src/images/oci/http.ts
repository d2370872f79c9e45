/** HTTP requests with a bound on everything: redirects, silence, and bytes kept in memory. */
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
  headers: Headers;
  /** Ends with an error when the other side falls silent; to be read to its end, or `close`d. */
  body: AsyncIterable<Uint8Array>;
  close(): void;
}

export type Http = (request: HttpRequest) => Promise<HttpResponse>;

const mostRedirects = 5;
const silenceMs = 60_000;
const redirects = new Set([301, 302, 303, 307, 308]);

const unreachable = (url: URL, cause: unknown): BangerError => {
  const reason = (cause as { cause?: Error }).cause?.message ?? (cause as Error).message;
  return new BangerError("registry_unreachable", `${url.host} does not answer: ${reason}`, {
    hint: `curl -v ${url.protocol}//${url.host}/v2/`,
    retry: "later",
    cause,
  });
};

/** Ends what it guards when nothing was heard for `silenceMs`. */
class Watch {
  readonly controller = new AbortController();
  private timer: { cancel(): void } | undefined;
  private readonly give = (): void => this.controller.abort(this.outer.reason);

  constructor(
    private readonly clock: Clock,
    private readonly outer: AbortSignal,
    private readonly url: URL,
  ) {
    outer.addEventListener("abort", this.give, { once: true });
    if (outer.aborted) this.give();
    this.heard();
  }

  heard(): void {
    this.timer?.cancel();
    this.timer = this.clock.after(silenceMs, () => {
      this.controller.abort(unreachable(this.url, new Error(`nothing for ${silenceMs / 1000} s`)));
    });
  }

  /** What an error means: the caller's own end, silence, or the network. */
  reason(error: unknown): unknown {
    return this.controller.signal.aborted ? this.controller.signal.reason : unreachable(this.url, error);
  }

  end(): void {
    this.timer?.cancel();
    this.outer.removeEventListener("abort", this.give);
  }
}

function answer(response: Response, watch: Watch): HttpResponse {
  async function* read(): AsyncGenerator<Uint8Array> {
    try {
      if (response.body === null) return;
      for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
        watch.heard();
        yield chunk;
      }
    } catch (error) {
      throw watch.reason(error);
    } finally {
      watch.end();
    }
  }
  const close = (): void => {
    watch.end();
    watch.controller.abort();
  };
  return { status: response.status, headers: response.headers, body: read(), close };
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

/** The registry's answer, redirects followed; credentials stay with the host that they are for. */
export function httpClient(clock: Clock): Http {
  return async (request) => {
    let { url } = request;
    let headers = request.headers;
    for (let hops = 0; hops <= mostRedirects; hops++) {
      const watch = new Watch(clock, request.signal, url);
      let response: Response;
      try {
        response = await fetch(url.href, {
          method: request.method ?? "GET",
          headers,
          redirect: "manual",
          signal: watch.controller.signal,
          ...(request.body === undefined ? {} : { body: request.body }),
        });
      } catch (error) {
        watch.end();
        throw watch.reason(error);
      }
      watch.heard();
      const location = response.headers.get("location");
      if (!redirects.has(response.status) || location === null) return answer(response, watch);
      watch.end();
      watch.controller.abort();
      const next = redirected(url, location);
      if (next.origin !== url.origin) {
        const { authorization: _, ...others } = headers;
        headers = others;
      }
      url = next;
    }
    throw new BangerError("registry_protocol", `${request.url.host} redirects without end`);
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
