/** A door before a registry: notes every request, and can hold back the end of one blob. */
import { once } from "node:events";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";

export interface HeldRegistry {
  /** `127.0.0.1:port`. */
  host: string;
  /** "GET /v2/…", with the range that was asked for. */
  readonly asked: string[];
  /** From now on what comes of this blob stops half-way. */
  hold(digest: string): void;
  /** Resolves when half of the held blob has been sent. */
  held(): Promise<void>;
  release(): void;
  close(): Promise<void>;
}

/** Passes everything on to the registry at `upstream`, `host:port`. */
export async function holdRegistry(upstream: string): Promise<HeldRegistry> {
  const asked: string[] = [];
  let holding = "";
  let tell: () => void = () => {};
  const reached = new Promise<void>((resolve) => {
    tell = resolve;
  });
  const server = createServer((incoming, outgoing) => {
    const { method, url, headers } = incoming;
    asked.push(`${method} ${url}${headers.range ? ` ${headers.range}` : ""}`);
    const onward = request(`http://${upstream}${url}`, { method: method ?? "GET", headers }, (reply) => {
      outgoing.writeHead(reply.statusCode ?? 502, reply.headers);
      const half = Number(reply.headers["content-length"]) / 2;
      let sent = 0;
      reply.on("data", (chunk: Buffer) => {
        if (holding !== "" && url?.endsWith(holding) && sent >= half) return tell();
        sent += chunk.length;
        outgoing.write(chunk);
      });
      reply.on("end", () => {
        if (holding === "" || !url?.endsWith(holding)) outgoing.end();
      });
    });
    onward.on("error", () => outgoing.destroy());
    onward.end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    hold: (digest) => {
      holding = digest;
    },
    held: () => reached,
    release: () => {
      holding = "";
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
