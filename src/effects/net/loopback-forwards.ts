/** Forwards to servers on a guest's own loopback: listeners of this daemon, whose connections go through the agent. */
import { createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { BangerError } from "../../lib/errors.js";
import type { Forward, VmId } from "../../model/model.js";
import type { GuestAgent } from "../agent/links.js";
import { portAttempts } from "./ports.js";

/** A link carries 64 streams; commands, shells and the daemon itself keep their half. */
const mostConnections = 32;
const connectMs = 10_000;

interface Listening {
  forward: Forward;
  server: Server;
}

/** What one VM has; `sockets` are the connections under way. */
interface Held {
  listening: Listening[];
  sockets: Set<Socket>;
}

function listen(server: Server, address: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, address, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

const taken = (error: unknown): boolean =>
  ["EADDRINUSE", "EACCES"].includes((error as NodeJS.ErrnoException).code ?? "");

export class LoopbackForwards {
  readonly #held = new Map<VmId, Held>();
  readonly #clientOf: (id: VmId) => GuestAgent | undefined;
  readonly #changed: (id: VmId) => void;

  /** `changed` is told the VM of which something looks different now. */
  constructor(clientOf: (id: VmId) => GuestAgent | undefined, changed: (id: VmId) => void) {
    this.#clientOf = clientOf;
    this.#changed = changed;
  }

  list(id: VmId): Forward[] {
    return this.#held.get(id)?.listening.map(({ forward }) => forward) ?? [];
  }

  /** Listens at `address` for the guest's own `to`: on the same port, else as `portAttempts` has it. */
  async ensure(id: VmId, address: string, { guestPort, loopback }: Omit<Forward, "hostPort">): Promise<void> {
    if (this.list(id).some((forward) => forward.guestPort === guestPort)) return;
    const held = this.#held.get(id) ?? { listening: [], sockets: new Set<Socket>() };
    this.#held.set(id, held);
    const to = { address: loopback ?? "127.0.0.1", port: guestPort };
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
      this.#carry(id, held, socket, to).catch(() => socket.destroy());
    });
    for (const attempt of portAttempts(address, guestPort)) {
      const hostPort = await attempt();
      try {
        await listen(server, address, hostPort);
      } catch (error) {
        if (taken(error)) continue;
        throw error;
      }
      // The listener continues, although this VM's VMM may have ended meanwhile.
      if (this.#held.get(id) !== held) return void server.close();
      server.on("error", () => this.ensureNone(id, hostPort));
      held.listening.push({ server, forward: { guestPort, hostPort, ...(loopback && { loopback }) } });
      this.#changed(id);
      return;
    }
    throw new BangerError("port_taken", `no port of ${address} can be forwarded to ${guestPort}`, {
      ...{ hint: `ss -ltnp src ${address}`, retry: "later" },
    });
  }

  /** Listens no more; connections under way come to their own end. */
  ensureNone(id: VmId, hostPort: number): void {
    const held = this.#held.get(id);
    if (held === undefined) return;
    const gone = held.listening.filter(({ forward }) => forward.hostPort === hostPort);
    held.listening = held.listening.filter((each) => !gone.includes(each));
    for (const { server } of gone) server.close();
    if (gone.length > 0) this.#changed(id);
  }

  /** The VM's VMM has ended. */
  drop(id: VmId): void {
    const held = this.#held.get(id);
    this.#held.delete(id);
    for (const { server } of held?.listening ?? []) server.close();
    for (const socket of held?.sockets ?? []) socket.destroy();
  }

  close(): void {
    for (const id of [...this.#held.keys()]) this.drop(id);
  }

  async #carry(
    id: VmId,
    { sockets }: Held,
    socket: Socket,
    to: { address: string; port: number },
  ): Promise<void> {
    const client = this.#clientOf(id);
    if (client === undefined || sockets.size >= mostConnections) {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    join(socket, await client.connect(to, AbortSignal.timeout(connectMs)));
  }
}

/** Each side's end reaches the other, and so does a connection that breaks. */
function join(socket: Socket, guest: Duplex): void {
  guest.on("error", () => socket.destroy());
  guest.on("close", () => socket.destroySoon());
  socket.on("close", () => guest.destroy());
  if (socket.destroyed) guest.destroy();
  socket.pipe(guest);
  guest.pipe(socket);
}
