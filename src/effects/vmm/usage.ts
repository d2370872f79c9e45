/** A VM's resource usage: processor time and memory of its VMM from /proc, and room on the disk. */
import { readFileSync, statSync } from "node:fs";
import { parseStat } from "../../host/processes.js";
import type { ProcessIdentity, Seen } from "../../model/model.js";

export interface VmUsage {
  /** Processor time since the VMM started; null without a VMM. */
  cpuMs: number | null;
  /** Memory of the VMM that is in RAM now; null without a VMM. */
  rssBytes: number | null;
  /** What the root disk really takes beside the image below it, which is shared; and its size. */
  rootBytes: number;
  rootMiB: number;
  /** What the work disk really takes. */
  diskBytes: number;
}

/** Files of a VM: its disks; and the size of the root disk as its guest sees it. */
export interface UsageFiles {
  root: string;
  rootBytes: number;
  work: string;
}

/** `USER_HZ`, in which /proc counts, is 100 on x86 whatever the kernel's own clock. */
const msPerTick = 10;
/** Of `st_blocks` (stat(2)). */
const bytesPerBlock = 512;

/** Looks now; a process that has ended meanwhile counts as none. */
export function usageOf({ root, rootBytes, work }: UsageFiles, process: Seen<ProcessIdentity>): VmUsage {
  const usage = process.is === "present" ? processUsage(process) : undefined;
  return {
    cpuMs: usage?.cpuMs ?? null,
    rssBytes: usage?.rssBytes ?? null,
    rootBytes: allocated(root),
    rootMiB: Math.floor(rootBytes / 2 ** 20),
    diskBytes: allocated(work),
  };
}

/** Fields 14 and 15 of /proc/PID/stat (proc(5)) and the resident pages of its `VmRSS`. */
function processUsage({ pid, startTime }: ProcessIdentity): { cpuMs: number; rssBytes: number } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    if (parseStat(stat)?.startTime !== startTime) return undefined;
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const status = readFileSync(`/proc/${pid}/status`, "latin1");
    const rssKiB = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0);
    return { cpuMs: (Number(fields[11]) + Number(fields[12])) * msPerTick, rssBytes: rssKiB * 1024 };
  } catch {
    return undefined;
  }
}

function allocated(path: string): number {
  return (statSync(path, { throwIfNoEntry: false })?.blocks ?? 0) * bytesPerBlock;
}
