/** Connects to a guest's agent through the socket that QEMU made of its virtio-serial port. */
import { createConnection } from "node:net";
import { MuxHost } from "../../../guest/mux.js";
import { type Home, vmHandles } from "../../../home/handles.js";
import type { Clock } from "../../../lib/clock.js";
import { BangerError } from "../../../lib/errors.js";
import type { AgentLine, Vmm } from "../vmm.js";

/**
 * How long a greeting waits for its answer before the connection is made anew. A guest that boots needs no new one: what
 * is sent meanwhile stays in the socket. But a greeting that got lost on its way, or a port whose other side missed that
 * somebody came, would wait for ever; both find their step again with a new connection.
 */
const patience = { firstMs: 5_000, maxMs: 20_000 };

/** The line, or undefined when nobody answers in that time. Rejects when there is no connection. */
function greet(
  agentSocket: string,
  clock: Clock,
  waitMs: number,
  signal: AbortSignal,
): Promise<AgentLine | undefined> {
  return new Promise((resolve, reject) => {
    const mux = new MuxHost(createConnection(agentSocket), {
      onUp: () => {
        late.cancel();
        resolve({ open: () => mux.open(), closed: mux.closed, close: () => mux.destroy() });
      },
    });
    const late = clock.after(waitMs, () => {
      resolve(undefined);
      mux.destroy();
    });
    const abort = () => mux.destroy();
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    void mux.closed.then(() => {
      late.cancel();
      signal.removeEventListener("abort", abort);
      reject(new BangerError("agent_unreachable", `nothing answers at ${agentSocket}`, { retry: "later" }));
    });
  });
}

/** The dial of one home. It waits through the guest's boot, and greets again where no answer comes. */
export function qemuDial(home: Home, clock: Clock): Vmm["dial"] {
  return async (id, signal) => {
    const { agentSocket } = vmHandles(home, id);
    for (let waitMs = patience.firstMs; ; waitMs = Math.min(waitMs * 2, patience.maxMs)) {
      const line = await greet(agentSocket, clock, waitMs, signal);
      if (line !== undefined) return line;
    }
  };
}
