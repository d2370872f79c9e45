/** What the simulated machine has for all VMs together, and what commands are judged by there. */

import type { Room } from "../../src/core/room.js";
import type { ObservedHost } from "../../src/model/host.js";
import type { SimHost } from "./host.js";

export function machineOf({ memoryMiB, full }: SimHost): ObservedHost {
  const disk = { is: "present", path: "/sim", freeMiB: full ? 0 : 50_000, totalMiB: 100_000 } as const;
  return { memory: { is: "present", totalMiB: memoryMiB }, stateDisk: disk, dataDisk: disk };
}

export const roomOn = (host: SimHost): Room => ({
  host: machineOf(host),
  memoryPercent: 100,
  reserveMiB: null,
  force: false,
});
