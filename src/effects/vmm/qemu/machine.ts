/** From a VM that is to run to the QEMU that runs it: its command line, and what it opens of the host. */
import { readFileSync } from "node:fs";
import type { Config } from "../../../config/form.js";
import { imageHandles, type VmHandles, vmHandles } from "../../../home/handles.js";
import type { EnsureProcess, SystemLoan, VmmHost } from "../vmm.js";
import { hostTscKHz, type QemuNetwork, qemuArgv, type RootDisk } from "./argv.js";
import type { Launch } from "./launch.js";

type MachineHost = Pick<VmmHost, "home" | "prepare" | "acceleration" | "system"> & {
  config: Pick<Config, "qemuBin">;
};

function rootOf({ rootDisk, rootDevice, rootFile }: VmHandles, system: SystemLoan | undefined): RootDisk {
  if (system === undefined) return { format: "qcow2", path: rootDisk };
  return { format: "raw", path: system.rootDisk === "device" ? rootDevice : rootFile };
}

function networkOf(address: string, system: SystemLoan | undefined): QemuNetwork {
  return system === undefined ? { kind: "process" } : { kind: "tap", guest: { address, ...system.network } };
}

/** Devices that it opens beside those of every QEMU. */
function devicesOf({ rootDevice }: VmHandles, system: SystemLoan | undefined): string[] {
  if (system === undefined) return [];
  return ["/dev/net/tun", ...(system.rootDisk === "device" ? [rootDevice] : [])];
}

/** How VMs are run on this host. */
export function launches(host: MachineHost): (effect: EnsureProcess) => Promise<Launch> {
  const { home, config, system } = host;
  const tscKHz = hostTscKHz(readFileSync("/proc/cpuinfo", "utf8"));
  return async ({ vmId, imageId, spec, address }) => {
    const handles = vmHandles(home, vmId);
    const [root, network] = [rootOf(handles, system), networkOf(address, system)];
    const [boot, { accelerator }] = await Promise.all([host.prepare(imageId), host.acceleration()]);
    const machine = { handles, spec, accelerator, tscKHz, root, network, ...boot } as const;
    const { directory, rootfs } = imageHandles(home, imageId);
    return {
      file: config.qemuBin,
      argv: qemuArgv(machine),
      offline: network.kind === "process",
      read: [directory, rootfs, boot.kernel, boot.initrd],
      write: [handles.directory, handles.runtime, ...devicesOf(handles, system)],
    };
  };
}
