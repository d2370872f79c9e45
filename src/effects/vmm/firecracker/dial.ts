/** Connects to the agent of a guest that Firecracker runs. */

import { AgentClient } from "../../../guest/agent.js";
import { VsockStream } from "../../../guest/vsock.js";
import { type Home, vmHandles } from "../../../home/handles.js";
import { sleep } from "../../../host/wait.js";
import type { Clock } from "../../../lib/clock.js";
import type { Dial, Session } from "../../agent/links.js";

/** Where the agent listens; see guest-agent/agent.c. */
const agentPort = 1024;
/** A guest that boots refuses at once, or Firecracker does after 2 s in which the guest has said nothing. */
const retryMs = 20;
const answerMs = 3_000;

/** One stream on which nothing is said: it is there as long as guest and agent are. */
function openLine(socketPath: string, clock: Clock, signal: AbortSignal): Promise<VsockStream> {
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

function sessionOf(socketPath: string, line: VsockStream): Session<AgentClient> {
  line.resume();
  return {
    client: new AgentClient(() => new VsockStream(socketPath, agentPort)),
    closed: new Promise((resolve) => line.once("close", () => resolve())),
    close: () => line.destroy(),
  };
}

/** The dial of one home. It asks again and again while the guest boots, since nothing can wait for it in the socket. */
export function vsockDial(home: Home, clock: Clock): Dial<AgentClient> {
  return async (id, signal) => {
    const { vsockSocket } = vmHandles(home, id);
    for (;;) {
      signal.throwIfAborted();
      const line = await openLine(vsockSocket, clock, signal).catch(() => undefined);
      if (line !== undefined) return sessionOf(vsockSocket, line);
      await sleep(clock, retryMs, signal);
    }
  };
}
