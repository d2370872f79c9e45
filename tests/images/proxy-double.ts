/** An HTTP proxy on loopback that knows where every name leads, and notes what it was asked for. */
import { once } from "node:events";
import { createServer, type IncomingMessage, request } from "node:http";
import { createServer as createTlsServer, type ServerOptions } from "node:https";
import { connect, type Socket } from "node:net";

export interface ProxyDouble {
  port: number;
  /** Method and address of each request, in order. */
  asked: string[];
  /** `Proxy-Authorization` of each. */
  logins: (string | undefined)[];
  /** Wanted as `user:password`; others get 407. */
  login: string | undefined;
  stop(): Promise<void>;
}

/** Passes requests on to the port `plain`, and tunnels to the port `secure`; itself under TLS where `tls` is given. */
export async function proxyDouble(
  { plain, secure }: { plain: number; secure: number },
  tls?: ServerOptions,
): Promise<ProxyDouble> {
  const server = tls === undefined ? createServer() : createTlsServer(tls);
  const allowed = ({ method, url, headers }: IncomingMessage): boolean => {
    double.asked.push(`${method} ${url}`);
    const said = headers["proxy-authorization"];
    double.logins.push(said);
    const wanted = double.login && `Basic ${Buffer.from(double.login).toString("base64")}`;
    return wanted === undefined || said === wanted;
  };
  server.on("request", (asked, answer) => {
    if (!allowed(asked)) return answer.writeHead(407).end();
    const { pathname, search } = new URL(asked.url ?? "");
    const { "proxy-authorization": _, ...headers } = asked.headers;
    const on = request({ port: plain, path: pathname + search, method: asked.method, headers }, (from) => {
      answer.writeHead(from.statusCode ?? 0, from.headers);
      from.pipe(answer);
    });
    asked.pipe(on);
  });
  const sockets = new Set<Socket>();
  server.on("connect", (asked: IncomingMessage, socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    if (!allowed(asked)) return socket.end("HTTP/1.1 407 no\r\n\r\n");
    const on = connect(secure, "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 yes\r\n\r\n");
      socket.pipe(on).pipe(socket);
    });
    on.on("error", () => socket.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const double: ProxyDouble = {
    port: (server.address() as { port: number }).port,
    asked: [],
    logins: [],
    login: undefined,
    async stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
  return double;
}
