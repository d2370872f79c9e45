/** Connects to a guest's agent through the socket that QEMU made of its virtio-serial port. */
import { BangerError } from "../errors.js";
import { AgentClient } from "../guest/agent.js";
import { MuxHost } from "../guest/mux.js";
import { type Home, vmHandles } from "../handles.js";
import { connectSocket } from "../socket-place.js";
import type { Dial } from "./agent-links.js";

/** The dial of one home. It waits through the guest's boot: what is sent meanwhile stays in the socket. */
export function agentDial(home: Home): Dial<AgentClient> {
  return (id, signal) => {
    const { agentSocket } = vmHandles(home, id);
    return new Promise((resolve, reject) => {
      const mux = new MuxHost(connectSocket(agentSocket), {
        onUp: () => {
          const client = new AgentClient(() => mux.open());
          resolve({ client, closed: mux.closed, close: () => mux.destroy() });
        },
      });
      const abort = () => mux.destroy();
      if (signal.aborted) abort();
      signal.addEventListener("abort", abort, { once: true });
      void mux.closed.then(() => {
        signal.removeEventListener("abort", abort);
        reject(new BangerError("agent_unreachable", `nobody answers at ${agentSocket}`, { retry: "later" }));
      });
    });
  };
}
