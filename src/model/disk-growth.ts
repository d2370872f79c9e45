/** Pure: how large a VM's two disks are to be, and what was seen of that. */
import { BangerError } from "../lib/errors.js";
import type { DiskSizes, Growing, ObservedVm, Vm, VmSpec } from "./model.js";

/** What every effect on disks is told. */
export const wantedSizes = ({ spec }: Pick<Vm, "spec">): DiskSizes => ({
  diskMiB: spec.diskMiB,
  rootMiB: spec.rootMiB ?? 0,
});

/** How far both disks are on their way to their sizes; null where one is not there, or is too small. */
export function growthOf(vm: Pick<Vm, "spec">, { workDisk, rootDisk }: ObservedVm): Growing | null {
  const { diskMiB, rootMiB } = wantedSizes(vm);
  if (workDisk.is !== "present" || rootDisk.is !== "present") return null;
  if (workDisk.miB < diskMiB || rootDisk.miB < rootMiB) return null;
  const both = [workDisk.growing, rootDisk.growing];
  return both.find((each) => each === "begun") ?? both.find((each) => each === "at_start") ?? "no";
}

const names = { diskMiB: "/root", rootMiB: "/" } as const;

/** @throws BangerError `disk_shrinks` */
export function refuseShrinking({ name, spec }: Vm, wanted: VmSpec): void {
  for (const field of ["diskMiB", "rootMiB"] as const) {
    const has = spec[field] ?? 0;
    if ((wanted[field] ?? 0) >= has) continue;
    const message = `the disk for ${names[field]} of ${name} has ${has} MiB, and disks only grow`;
    throw new BangerError("disk_shrinks", message, { hint: `banger vm show ${name}` });
  }
}
