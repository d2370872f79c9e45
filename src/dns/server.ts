/** The DNS server of one home: UDP and TCP on one loopback port, answering from the projection. */
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import type { AddressRange } from "../home/addresses.js";
import { replyTo } from "./message.js";
import type { Names } from "./zone.js";

export interface DnsOptions {
  /** Where to listen; the port is one that is free when this one is taken. */
  host: string;
  port: number;
  names: Names;
  /** Those that have a reverse zone here. */
  addresses: AddressRange;
  warn(message: string, details: object): void;
}

export interface DnsServer {
  /** `host:port`, as it came to be. */
  address: string;
  close(): Promise<void>;
}

const connections = 64;
const idleMs = 10_000;
/** A free port of the one protocol may be taken in the other. */
const freePortTries = 16;

/** Serves until it is closed. @throws Error when no port is available at all. */
export async function serveDns(options: DnsOptions): Promise<DnsServer> {
  for (let tries = 0; ; tries++) {
    const port = tries === 0 ? options.port : 0;
    const udp = udpServer(options);
    const tcp = tcpServer(options);
    try {
      await bound(tcp.server, (done) => tcp.server.listen(port, options.host, done));
      const { port: chosen } = tcp.server.address() as AddressInfo;
      await bound(udp, (done) => udp.bind(chosen, options.host, done));
      udp.on("error", (error) => options.warn("DNS over UDP failed", { error: error.message }));
      tcp.server.on("error", (error) => options.warn("DNS over TCP failed", { error: error.message }));
      return { address: `${options.host}:${chosen}`, close: () => closeBoth(udp, tcp) };
    } catch (error) {
      await closeBoth(udp, tcp);
      if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE" || tries >= freePortTries) throw error;
    }
  }
}

interface TcpServer {
  server: Server;
  sockets: Set<Socket>;
}

function bound(listener: Server | UdpSocket, listen: (done: () => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    (listener as Server).once("error", reject);
    listen(() => {
      (listener as Server).off("error", reject);
      resolve();
    });
  });
}

async function closeBoth(udp: UdpSocket, { server, sockets }: TcpServer): Promise<void> {
  for (const socket of sockets) socket.destroy();
  await Promise.all([
    new Promise<void>((resolve) => server.close(() => resolve())),
    new Promise<void>((resolve) => {
      udp.close(resolve);
    }),
  ]);
}

function udpServer({ names, addresses }: DnsOptions): UdpSocket {
  const socket = createSocket("udp4");
  socket.on("message", (message, { port, address }) => {
    const reply = replyTo(message, { names, addresses, transport: "udp" });
    // A client that has gone away is not an error; resolvers ask again.
    if (reply !== undefined) socket.send(reply, port, address, () => {});
  });
  return socket;
}

function tcpServer({ names, addresses }: DnsOptions): TcpServer {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    socket.setTimeout(idleMs, () => socket.destroy());
    converse(socket, (message) => replyTo(message, { names, addresses, transport: "tcp" }));
  });
  server.maxConnections = connections;
  return { server, sockets };
}

/** Messages with their length before them, in both directions (RFC 7766); a slow reader is not read from. */
function converse(socket: Socket, reply: (message: Buffer) => Buffer | undefined): void {
  let pending: Buffer = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE(0)) {
      const length = pending.readUInt16BE(0);
      const answered = reply(pending.subarray(2, 2 + length));
      pending = pending.subarray(2 + length);
      if (answered === undefined) {
        socket.destroy();
        return;
      }
      const prefix = Buffer.alloc(2);
      prefix.writeUInt16BE(answered.length);
      if (!socket.write(Buffer.concat([prefix, answered]))) socket.pause();
    }
  });
  socket.on("drain", () => socket.resume());
}
