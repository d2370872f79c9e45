/** Looks at what this machine has for all VMs together: memory, and room on the disks that they are on. */
import { statfsSync } from "node:fs";
import type { Home } from "../home/handles.js";
import type { ObservedHost, SeenSpace } from "../model/host.js";
import type { Seen } from "../model/model.js";
import { memoryLimit } from "./memory-limit.js";

const miB = 2 ** 20;

function space(path: string): Seen<SeenSpace> {
  try {
    const { bavail, blocks, bsize } = statfsSync(path);
    return {
      is: "present",
      path,
      freeMiB: Math.floor((bavail * bsize) / miB),
      totalMiB: Math.floor((blocks * bsize) / miB),
    };
  } catch (error) {
    return { is: "unknown", cause: (error as Error).message };
  }
}

export const lookAtHost = ({ state, data }: Home): ObservedHost => ({
  memory: { is: "present", totalMiB: Math.floor(memoryLimit() / miB) },
  stateDisk: space(state),
  dataDisk: space(data),
});
