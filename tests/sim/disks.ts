/** How the simulated daemon makes disks, and makes them grow: each step is a boundary of its own. */
import { BangerError } from "../../src/lib/errors.js";
import type { Effect, VmId } from "../../src/model/model.js";
import type { SimHost, SimProcess } from "./host.js";

/** The size of the root disk of every image. */
export const imageRootMiB = 1024;

type EffectOf<K extends Effect["kind"]> = Extract<Effect, { kind: K }>;

/** What a daemon works with as long as it lives. */
export interface Hands {
  host: SimHost;
  /** The VM's VMM. @throws BangerError `vm_not_running` */
  running: (id: VmId) => SimProcess;
  change: (change: () => void) => void;
  /** Lets time go by, in ms. */
  pause: (low: number, high: number) => Promise<void>;
}

export async function ensureDisk(
  { host, change, pause }: Hands,
  { vmId, imageId, diskMiB, rootMiB }: EffectOf<"ensureDisk">,
): Promise<void> {
  if (!host.image(imageId).ready) throw new BangerError("image_missing", `${imageId} is not there`);
  for (const part of ["runtime", "directory", "rootDisk", "workDisk", "seed"] as const) {
    await pause(1, 40);
    if (host.full) throw new BangerError("disk_full", "no space is left", { retry: "later" });
    change(() => {
      const vm = host.vm(vmId);
      if (part === "workDisk" && !vm.workDisk)
        Object.assign(vm, { workMiB: diskMiB, fileSystemMiB: diskMiB });
      if (part === "rootDisk" && !vm.rootDisk)
        Object.assign(vm, { rootMiB: Math.max(imageRootMiB, rootMiB), rootFileSystemMiB: imageRootMiB });
      vm[part] = true;
    });
  }
  const vm = host.vm(vmId);
  if (vm.rootMiB < rootMiB) change(() => Object.assign(vm, { rootMiB }));
  if (vm.rootGrowing !== "no") change(() => Object.assign(vm, { rootGrowing: "no" }));
  if (vm.workMiB >= diskMiB && vm.growing === "no") return;
  change(() => Object.assign(vm, { growing: "begun", workMiB: Math.max(vm.workMiB, diskMiB) }));
  await pause(1, 400);
  change(() => Object.assign(vm, { growing: "no", fileSystemMiB: vm.workMiB }));
}

/** What each of the two disks is called in the simulated VM. */
const fields = {
  work: { size: "workMiB", fileSystem: "fileSystemMiB", growing: "growing" },
  root: { size: "rootMiB", fileSystem: "rootFileSystemMiB", growing: "rootGrowing" },
} as const;

/** Each disk in its turn: mark, VMM, guest and mark again. */
export async function ensureDiskSize(
  { host, running, change, pause }: Hands,
  { vmId, diskMiB, rootMiB }: EffectOf<"ensureDiskSize">,
): Promise<void> {
  const vm = host.vm(vmId);
  const process = running(vmId);
  const guest = () => {
    if (host.vm(vmId).process !== process || process.guest !== "up")
      throw new BangerError("host_failed", "the guest's agent does not answer", { retry: "later" });
  };
  for (const [disk, wanted] of [["work", diskMiB] as const, ["root", rootMiB] as const]) {
    const { size, fileSystem, growing } = fields[disk];
    guest();
    if (vm[size] >= wanted && vm[growing] === "no") continue;
    change(() => Object.assign(vm, { [growing]: "begun" }));
    await pause(1, 20);
    guest();
    change(() => Object.assign(vm, { [size]: Math.max(vm[size], wanted) }));
    await pause(1, 400);
    guest();
    const grows = process.growsFileSystem;
    if (grows) change(() => Object.assign(vm, { [fileSystem]: vm[size] }));
    await pause(1, 20);
    change(() => Object.assign(vm, { [growing]: grows ? "no" : "at_start" }));
  }
}
