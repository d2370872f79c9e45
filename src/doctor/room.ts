/** What VMs have of this machine's memory and disk, as the doctor tells it. */
import type { DaemonView } from "../contract/daemon.js";
import { formatSize } from "../lib/sizes.js";
import { type Check, pass, warn } from "./check.js";

/** Nothing while no daemon serves: then nobody knows what VMs have. */
export function roomChecks(room: DaemonView["room"] | undefined): Check[] {
  if (room === undefined) return [];
  const { memoryMiB, diskMiB } = room;
  return [
    ...(memoryMiB.limit === null ? [] : [memory(memoryMiB.promised, memoryMiB.limit)]),
    ...(diskMiB === null ? [] : [disks(diskMiB)]),
  ];
}

function memory(promised: number, limit: number): Check {
  const detail = `running VMs have ${formatSize(promised)} of ${formatSize(limit)}`;
  if (promised <= limit) return pass("vm memory", detail);
  return warn("vm memory", `${detail}: if guests use all of it, some will be killed`, "banger vm list");
}

function disks({ promised, free, reserve }: NonNullable<DaemonView["room"]["diskMiB"]>): Check {
  const detail = `VM disks may grow to ${formatSize(promised)}, ${formatSize(free)} are free`;
  if (free < reserve)
    return warn("vm disks", `${detail}: nothing is started below ${formatSize(reserve)}`, "banger vm prune");
  if (promised <= free) return pass("vm disks", detail);
  return warn("vm disks", `${detail}: guests are paused when it is full`, "banger vm list");
}
