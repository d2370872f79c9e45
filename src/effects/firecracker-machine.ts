/** Pure: what Firecracker is told of a VM, in order. The paths in it are those inside of its jail. */
import { jailFiles, type VmHandles } from "../handles.js";
import type { VmSpec } from "../model.js";
import type { ApiCall, RateLimiter } from "./firecracker-api.js";
import { type GuestNetwork, kernelArguments } from "./kernel-arguments.js";

export interface FirecrackerMachine {
  handles: Pick<VmHandles, "tap" | "mac">;
  spec: VmSpec;
  /** The kernel arguments that the image itself asks for. */
  bootArguments: string;
  network: GuestNetwork;
  /** As Firecracker tells its own. */
  version: string;
}

/** Names of the drives in the API; the guest sees them as vda, vdb, vdc, in the order in which they are told. */
const drives = [
  { id: "root", path: jailFiles.root, readOnly: false, device: "vda" },
  { id: "work", path: jailFiles.work, readOnly: false, device: "vdb" },
  { id: "seed", path: jailFiles.seed, readOnly: true, device: "vdc" },
] as const;

/** Firecracker's disks have no serials. */
export const workDevice = drives[1].device;

/** Every VM has its own vsock device in its own process, so all can have the first number that is a guest's. */
const guestCid = 3;

/**
 * `reboot=k`: a reset by the keyboard controller is what ends Firecracker. The keyboard itself has to work, since
 * Ctrl-Alt-Del comes by it. Looking for a mouse, more keyboards and more serial ports would only take time.
 */
const machineArguments = ["reboot=k", "i8042.noaux", "i8042.nomux", "i8042.dumbkbd", "8250.nr_uarts=1"];

/** The version from which a guest can report memory that it does not use, so that the host has it back. */
const reportingSince = [1, 14] as const;

const drive = ({ id, path, readOnly }: (typeof drives)[number]): ApiCall => ({
  method: "PUT",
  path: `/drives/${id}`,
  body: {
    drive_id: id,
    path_on_host: path,
    // Of the "root device" Firecracker would only tell the kernel, which has a first root of its own.
    is_root_device: false,
    is_read_only: readOnly,
    cache_type: "Writeback",
  },
});

/** `v1.16.1` and `1.16.1` are the same version. */
function parseVersion(text: string): [number, number, number] | undefined {
  const match = /\bv?(\d{1,5})\.(\d{1,5})\.(\d{1,5})\b/.exec(text);
  return match === null ? undefined : [Number(match[1]), Number(match[2]), Number(match[3])];
}

const isSince = (version: string, [major, minor]: readonly [number, number]): boolean => {
  const parsed = parseVersion(version);
  return parsed !== undefined && (parsed[0] > major || (parsed[0] === major && parsed[1] >= minor));
};

/** The oldest Firecracker that is tried with banger. */
const oldest = [1, 10] as const;

/** Whether a Firecracker can be used, by what `firecracker --version` says; else why not. */
export function firecrackerVersion(output: string): { version: string } | { problem: string } {
  const found = parseVersion(output.split("\n", 1)[0] ?? "");
  if (found === undefined) return { problem: "it does not tell its version" };
  const version = found.join(".");
  return isSince(version, oldest) ? { version } : { problem: `${version} is older than ${oldest.join(".")}` };
}

/** Everything up to the moment at which the guest could start, each once and in this order. */
export function machineCalls(machine: FirecrackerMachine): ApiCall[] {
  const { handles, spec, bootArguments, network, version } = machine;
  const [root, work, seed] = drives;
  const boot_args = kernelArguments({
    machine: machineArguments,
    bootArguments,
    disks: { root: root.device, work: work.device, seed: seed.device },
    network,
  });
  const reporting = isSince(version, reportingSince) ? { free_page_reporting: true } : {};
  return [
    { method: "PUT", path: "/logger", body: { log_path: jailFiles.vmmLog, level: "Info", show_level: true } },
    {
      method: "PUT",
      path: "/machine-config",
      body: { vcpu_count: spec.vcpu, mem_size_mib: spec.memoryMiB },
    },
    {
      method: "PUT",
      path: "/boot-source",
      body: { kernel_image_path: jailFiles.kernel, initrd_path: jailFiles.initrd, boot_args },
    },
    ...drives.map(drive),
    {
      method: "PUT",
      path: "/network-interfaces/net0",
      body: { iface_id: "net0", host_dev_name: handles.tap, guest_mac: handles.mac },
    },
    { method: "PUT", path: "/vsock", body: { guest_cid: guestCid, uds_path: jailFiles.vsockSocket } },
    { method: "PUT", path: "/entropy", body: {} },
    { method: "PUT", path: "/balloon", body: { amount_mib: 0, deflate_on_oom: true, ...reporting } },
  ];
}

export const startCall: ApiCall = { method: "PUT", path: "/actions", body: { action_type: "InstanceStart" } };

/** Needs a guest whose kernel drives the keyboard and whose init heeds it. */
export const ctrlAltDelCall: ApiCall = {
  method: "PUT",
  path: "/actions",
  body: { action_type: "SendCtrlAltDel" },
};

/** The work disk's file has another size now. */
export const workResizedCall: ApiCall = {
  method: "PATCH",
  path: "/drives/work",
  body: { drive_id: "work", path_on_host: jailFiles.work },
};
