/** Accepts the helper's clients: the owner and root, so many at a time and no more. */
import { createServer, type Server, type Socket } from "node:net";
import type { Clock } from "../src/lib/clock.js";
import type { Audit } from "./audit.js";
import { Calls } from "./calls.js";
import { Connection } from "./connection.js";
import { limits } from "./limits.js";
import type { Metadata } from "./metadata.js";
import type { MethodTable } from "./method.js";
import { type Peer, peerOf } from "./peer.js";
import { errorOf, HostFailure, Refusal } from "./refusal.js";
import { answerLine } from "./wire.js";

export interface HelperOptions {
  table: MethodTable;
  metadata: Metadata;
  clock: Clock;
  audit: Audit;
}

export interface HelperServer {
  /** Not listening yet: who starts the helper says where. */
  readonly listener: Server;
  /** Accepts and begins nothing more; resolves when calls at work have ended, or their time is up. */
  stop(): Promise<void>;
}

export function createHelper({ table, metadata, clock, audit }: HelperOptions): HelperServer {
  const calls = new Calls(table, metadata, clock);
  const connections = new Map<Socket, Connection>();

  const accept = (socket: Socket): void => {
    socket.on("error", () => socket.destroy());
    let peer: Peer | null = null;
    try {
      peer = peerOf(descriptorOf(socket));
      gatePeer(peer, metadata.owner.uid);
      if (connections.size >= limits.connections)
        throw new HostFailure("helper_busy", `${limits.connections} connections are already open`);
    } catch (thrown) {
      const error = errorOf(thrown);
      audit({ peer, method: null, vmId: null, durationMs: 0, error });
      socket.end(answerLine({ id: null, error }), () => socket.destroy());
      return;
    }
    const connection = new Connection(socket, peer, calls, clock, audit);
    connections.set(socket, connection);
    // One that went away counts as long as its calls do: coming and going makes no more of them.
    socket.once("close", () => void connection.idle().then(() => connections.delete(socket)));
  };

  const listener = createServer({ allowHalfOpen: true }, accept);
  const stop = async (): Promise<void> => {
    listener.close();
    calls.stop();
    const idle = [...connections.values()].map((connection) => {
      connection.stop();
      return connection.idle();
    });
    await new Promise<void>((resolve) => {
      const timer = clock.after(limits.stopMs, resolve);
      void Promise.all(idle).then(() => {
        timer.cancel();
        resolve();
      });
    });
    for (const socket of connections.keys()) socket.destroySoon();
  };
  let stopped: Promise<void> | undefined;
  return { listener, stop: () => (stopped ??= stop()) };
}

/** @throws Refusal `peer` for everybody but the owner and root */
function gatePeer({ uid }: Peer, owner: number): void {
  if (uid === owner || uid === 0) return;
  throw new Refusal("peer", `uid ${uid} is neither the owner (${owner}) nor root`);
}

/** Node keeps a socket's descriptor to itself; there is no other way to it. */
const descriptorOf = (socket: Socket): number =>
  (socket as unknown as { _handle: { fd: number } | null })._handle?.fd ?? -1;
