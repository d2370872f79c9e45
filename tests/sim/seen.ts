/** How a simulated VMM and its guest look to whoever observes them. */
import type { SeenPause } from "../../src/model/model.js";
import type { SimHost, SimProcess } from "./host.js";

const pauseOf = ({ pause }: SimProcess, full: boolean): SeenPause | null =>
  pause === "host_disk_full" ? { cause: pause, freeMiB: full ? 0 : 1000 } : pause && { cause: pause };

export const agentOf = ({ guest, init, behindMs }: SimProcess) => ({
  ...{ answering: guest === "up", version: "sim" },
  ...(guest === "up" && { init, behindMs: behindMs < 1_000 ? 0 : behindMs }),
});

export function shownOf(process: SimProcess, host: SimHost) {
  const { pid, startTime, guest } = process;
  const pause = host.faulty(0.1) ? "unasked" : pauseOf(process, host.full);
  return {
    ...{ pid, startTime },
    ...(guest === "idle" && { idle: true as const }),
    ...(pause !== null && { pause }),
  };
}
