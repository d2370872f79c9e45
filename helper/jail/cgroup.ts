/** The control group of a VM's Firecracker: what it may use at most, where the kernel can hold it to that. */
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { vmHandles } from "../../src/home/handles.js";
import { pause } from "../../src/lib/clock.js";
import type { VmId } from "../../src/model/model.js";
import type { Metadata } from "../metadata.js";
import { HostFailure } from "../refusal.js";

/** Outside the helper's own group: the VMs outlive the helper. */
const parent = "banger";

const mebibyte = 1 << 20;
/** Firecracker's own memory, its devices' buffers, and the page cache of its disks, which gives way. */
const overheadMiB = 256;
/** In microseconds; a group's share of one processor in each. */
const period = 100_000;

export interface Limits {
  vcpu: number;
  memoryMiB: number;
}

/** File of the group to what is written there; the part before the first dot is the controller's name. */
const limitFiles = ({ vcpu, memoryMiB }: Limits): Readonly<Record<string, string>> => ({
  "memory.max": String((memoryMiB + Math.ceil(memoryMiB / 32) + overheadMiB) * mebibyte),
  // One more than the guest has: disks and network are a thread of their own.
  "cpu.max": `${(vcpu + 1) * period} ${period}`,
  // vCPUs, API, and the kernel's own threads for them.
  "pids.max": String(vcpu + 64),
});

/** Where cgroup v2 is, on its own or beside v1: the first that is mounted, as jailer has it. */
function hierarchy(): string | undefined {
  const mounts = readFileSync("/proc/self/mounts", "utf8");
  return /^\S+ (\S+) cgroup2 /m.exec(mounts)?.[1];
}

const code = (error: unknown) => (error as NodeJS.ErrnoException).code ?? "";

/**
 * Makes the group anew and answers its name below the hierarchy, undefined on a host without cgroup v2. Limits whose
 * controller the host does not delegate are left out: the guest's own memory and vCPUs bound most of it all the same.
 */
export function makeCgroup(vmId: VmId, limits: Limits, { home }: Metadata): string | undefined {
  const top = hierarchy();
  if (top === undefined) return undefined;
  const name = `${parent}/${vmHandles(home, vmId).jailId}`;
  try {
    mkdirSync(`${top}/${name}`, { recursive: true });
  } catch (error) {
    if (["EROFS", "EACCES", "EPERM"].includes(code(error))) return undefined;
    throw error;
  }
  for (const [file, value] of Object.entries(limitFiles(limits))) {
    const controller = file.split(".")[0];
    tryWrite(`${top}/cgroup.subtree_control`, `+${controller}`);
    tryWrite(`${top}/${parent}/cgroup.subtree_control`, `+${controller}`);
    tryWrite(`${top}/${name}/${file}`, value);
  }
  return name;
}

/** Refused where the controller belongs to v1, to nobody below this group, or is not in the kernel at all. */
function tryWrite(file: string, value: string): void {
  try {
    writeFileSync(file, value, { flag: "r+" });
  } catch (error) {
    if (
      !["ENOENT", "EACCES", "EPERM", "EROFS", "EBUSY", "EINVAL", "EOPNOTSUPP", "ENODEV"].includes(code(error))
    )
      throw error;
  }
}

/** How long the kernel may take to part with processes that have just ended. */
const patience = { times: 50, ms: 20 } as const;

/** The group is gone, and with the last one theirs all. @throws HostFailure `cgroup_busy` while a process is in it */
export async function removeCgroup(vmId: VmId, { home }: Metadata): Promise<void> {
  const top = hierarchy();
  if (top === undefined) return;
  await removeGroup(`${top}/${parent}/${vmHandles(home, vmId).jailId}`);
  try {
    rmdirSync(`${top}/${parent}`);
  } catch (error) {
    if (!["ENOENT", "EBUSY", "EROFS"].includes(code(error))) throw error;
  }
}

async function removeGroup(path: string): Promise<void> {
  for (let time = 0; ; time++) {
    try {
      rmdirSync(path);
      return;
    } catch (error) {
      if (["ENOENT", "EROFS"].includes(code(error))) return;
      if (code(error) !== "EBUSY") throw error;
      if (time === patience.times)
        throw new HostFailure("cgroup_busy", `there are still processes in ${path}`);
    }
    await pause(patience.ms);
  }
}
