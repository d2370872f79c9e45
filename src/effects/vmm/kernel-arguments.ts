/** Pure: the kernel arguments that every guest gets, whatever runs it. docs/boot.md has their meaning. */

/** By which name the guest finds each of its disks: a device name or a serial. */
interface GuestDisks {
  root: string;
  work: string;
  seed: string;
}

/** The guest's side of its network. */
export interface GuestNetwork {
  address: string;
  prefixLength: number;
  gateway: string;
  dns: string;
}

export interface GuestBoot {
  /** What this machine's kernel has to know of it, beside what all have. */
  machine: readonly string[];
  /** The kernel arguments that the image itself asks for. */
  bootArguments: string;
  disks: GuestDisks;
  network: GuestNetwork;
}

/** No machine of ours has PCI, and each ends with its guest: a kernel that panics reboots at once. */
export function kernelArguments({ machine, bootArguments, disks, network }: GuestBoot): string {
  return [
    "console=ttyS0 quiet panic=-1 pci=off",
    ...machine,
    ...(bootArguments === "" ? [] : [bootArguments]),
    `banger.root=${disks.root} banger.work=${disks.work} banger.seed=${disks.seed}`,
    `banger.ip=${network.address}/${network.prefixLength} banger.gw=${network.gateway} banger.dns=${network.dns}`,
  ].join(" ");
}
