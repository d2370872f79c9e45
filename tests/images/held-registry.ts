/** A door before a registry: notes every request, and can hold back the end of one blob or manifest. */
import { once } from "node:events";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";

export interface HeldRegistry {
  /** `127.0.0.1:port`. */
  host: string;
  /** "GET /v2/…", with the range that was asked for. */
  readonly asked: string[];
  /** From now on what comes of this blob or manifest stops half-way. Resolves when half of it has been sent. */
  hold(digest: string): Promise<void>;
  /** From now on nothing is held; what is being held stays where it is. */
  release(): void;
  /** Lets what is being held go on. */
  resume(): void;
  close(): Promise<void>;
}

/** Passes everything on to the registry at `upstream`, `host:port`. */
export async function holdRegistry(upstream: string): Promise<HeldRegistry> {
  const asked: string[] = [];
  let holding = "";
  let waiting: (() => void)[] = [];
  let tell: () => void = () => {};
  const server = createServer((incoming, outgoing) => {
    const { method, url, headers } = incoming;
    asked.push(`${method} ${url}${headers.range ? ` ${headers.range}` : ""}`);
    const onward = request(`http://${upstream}${url}`, { method: method ?? "GET", headers }, (reply) => {
      outgoing.writeHead(reply.statusCode ?? 502, reply.headers);
      const half = Math.floor(Number(reply.headers["content-length"]) / 2);
      let sent = 0;
      let isHeld = false;
      /** Now, or when what is held goes on. */
      const inTurn = (act: () => void): unknown => (isHeld ? waiting.push(act) : act());
      reply.on("data", (chunk: Buffer) => {
        const part = holding !== "" && url?.endsWith(holding) ? chunk.subarray(0, half - sent) : chunk;
        sent += part.length;
        inTurn(() => outgoing.write(part));
        if (part.length === chunk.length) return;
        isHeld = true;
        waiting.push(() => {
          isHeld = false;
          outgoing.write(chunk.subarray(part.length));
        });
        tell();
      });
      reply.on("end", () => inTurn(() => outgoing.end()));
    });
    onward.on("error", () => outgoing.destroy());
    outgoing.on("error", () => undefined);
    onward.end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    hold(digest) {
      holding = digest;
      return new Promise((resolve) => {
        tell = resolve;
      });
    },
    release() {
      holding = "";
      waiting = [];
    },
    resume() {
      holding = "";
      for (const go of waiting.splice(0)) go();
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
