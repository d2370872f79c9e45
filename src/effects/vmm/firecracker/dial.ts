/** Connects to the agent of a guest that Firecracker runs. */

import { VsockStream } from "../../../guest/vsock.js";
import { type Home, vmHandles } from "../../../home/handles.js";
import { sleep } from "../../../host/wait.js";
import type { Clock } from "../../../lib/clock.js";
import type { AgentLine, Vmm } from "../vmm.js";

/** Where the agent listens; see guest-agent/agent.c. */
const agentPort = 1024;
/** A guest that boots refuses at once, or Firecracker does after 2 s in which the guest has said nothing. */
const retryMs = 20;
const answerMs = 3_000;

/** One stream on which nothing is said: it is there as long as guest and agent are. */
function openFirst(socketPath: string, clock: Clock, signal: AbortSignal): Promise<VsockStream> {
  const line = new VsockStream(socketPath, agentPort);
  return new Promise<VsockStream>((resolve, reject) => {
    const timer = clock.after(answerMs, () => line.destroy());
    const abort = () => line.destroy(signal.reason as Error);
    signal.addEventListener("abort", abort);
    const settle = () => {
      timer.cancel();
      signal.removeEventListener("abort", abort);
    };
    line.once("open", () => {
      settle();
      resolve(line);
    });
    line.on("error", reject);
    line.once("close", () => {
      settle();
      reject(new Error("the line closed"));
    });
    if (signal.aborted) abort();
  });
}

function lineOf(socketPath: string, first: VsockStream): AgentLine {
  first.resume();
  return {
    open: () => new VsockStream(socketPath, agentPort),
    closed: new Promise((resolve) => first.once("close", () => resolve())),
    close: () => first.destroy(),
  };
}

/** The dial of one home. It asks again and again while the guest boots, since nothing can wait for it in the socket. */
export function firecrackerDial(home: Home, clock: Clock): Vmm["dial"] {
  return async (id, signal) => {
    const { vsockSocket } = vmHandles(home, id);
    for (;;) {
      signal.throwIfAborted();
      const first = await openFirst(vsockSocket, clock, signal).catch(() => undefined);
      if (first !== undefined) return lineOf(vsockSocket, first);
      await sleep(clock, retryMs, signal);
    }
  };
}
