/** What the machine has for all VMs together. */
import type { Seen } from "./model.js";

export interface SeenSpace {
  path: string;
  freeMiB: number;
  totalMiB: number;
}

/** What the machine has for all VMs together; looked at by itself, since that is cheap and asks nobody. */
export interface ObservedHost {
  /** RAM, or what the control group that the daemon is in may take of it. */
  memory: Seen<{ totalMiB: number }>;
  /** Where disks of VMs are, and where images are. */
  stateDisk: Seen<SeenSpace>;
  dataDisk: Seen<SeenSpace>;
}
