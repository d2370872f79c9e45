/** Pure: what Firecracker is told of a VM, in order. The paths in it are those inside of its jail. */

import { jailFiles, type VmHandles } from "../../../home/handles.js";
import { BangerError } from "../../../lib/errors.js";
import type { VmSpec } from "../../../model/model.js";
import { type GuestNetwork, kernelArguments } from "../kernel-arguments.js";
import type { ApiCall, RateLimiter, TokenBucket } from "./api.js";
import { isSince } from "./version.js";

export interface RateLimits {
  /** Of each disk. */
  diskMiB: number | null;
  diskOperations: number | null;
  /** In each direction. */
  networkMiB: number | null;
}

export interface FirecrackerMachine {
  handles: Pick<VmHandles, "tap" | "mac">;
  spec: VmSpec;
  /** The kernel arguments that the image itself asks for. */
  bootArguments: string;
  network: GuestNetwork;
  /** In a second; null: no limit. */
  rateLimits: RateLimits;
  /** Firecracker's, as it tells it: "1.16.1". */
  version: string;
}

const mebibyte = 2 ** 20;
/** MAX_SUPPORTED_VCPUS of Firecracker. */
const mostVcpus = 32;

/** Names of the drives in the API; the guest sees them as vda, vdb, vdc, in the order in which they are told. */
const drives = [
  { id: "root", path: jailFiles.root, readOnly: false, device: "vda" },
  { id: "work", path: jailFiles.work, readOnly: false, device: "vdb" },
  { id: "seed", path: jailFiles.seed, readOnly: true, device: "vdc" },
] as const;

/** Firecracker's disks have no serials. */
export const workDevice = drives[1].device;
export const rootDevice = drives[0].device;

/** Every VM has its own vsock device in its own process, so all can have the first number that is a guest's. */
const guestCid = 3;

/**
 * `reboot=k`: a reset by the keyboard controller is what ends Firecracker. The keyboard itself has to work, since
 * Ctrl-Alt-Del comes by it. Looking for a mouse, more keyboards and more serial ports would only take time.
 */
const machineArguments = ["reboot=k", "i8042.noaux", "i8042.nomux", "i8042.dumbkbd", "8250.nr_uarts=1"];

/** The version from which a guest can report memory that it does not use, so that the host has it back. */
const reportingSince = { major: 1, minor: 14 };

/** Tokens for one second, and as many for a burst. */
const perSecond = (size: number | null, unit: number): TokenBucket | undefined =>
  size === null ? undefined : { size: size * unit, refill_time: 1000 };

/** A limiter of what is limited at all. */
function limiter(bandwidth: TokenBucket | undefined, ops: TokenBucket | undefined): RateLimiter | undefined {
  if (bandwidth === undefined && ops === undefined) return undefined;
  return { ...(bandwidth && { bandwidth }), ...(ops && { ops }) };
}

const drive = ({ id, path, readOnly }: (typeof drives)[number], rate_limiter?: RateLimiter): ApiCall => ({
  method: "PUT",
  path: `/drives/${id}`,
  body: {
    drive_id: id,
    path_on_host: path,
    // Of the "root device" Firecracker would only tell the kernel, which has an initramfs of its own.
    is_root_device: false,
    is_read_only: readOnly,
    cache_type: "Writeback",
    ...(rate_limiter && { rate_limiter }),
  },
});

function networkInterface({ tap, mac }: FirecrackerMachine["handles"], rate?: RateLimiter): ApiCall {
  const limits = rate && { rx_rate_limiter: rate, tx_rate_limiter: rate };
  return {
    method: "PUT",
    path: "/network-interfaces/net0",
    body: { iface_id: "net0", host_dev_name: tap, guest_mac: mac, ...limits },
  };
}

function bootSource({ bootArguments, network }: FirecrackerMachine): ApiCall {
  const [root, work, seed] = drives;
  const boot_args = kernelArguments({
    machine: machineArguments,
    bootArguments,
    disks: { root: root.device, work: work.device, seed: seed.device },
    network,
  });
  const { kernel, initrd } = jailFiles;
  return {
    method: "PUT",
    path: "/boot-source",
    body: { kernel_image_path: kernel, initrd_path: initrd, boot_args },
  };
}

/** @throws BangerError `too_many_vcpus` */
export function checkSpec({ vcpu }: VmSpec): void {
  if (vcpu <= mostVcpus) return;
  throw new BangerError("too_many_vcpus", `Firecracker runs no VM with ${vcpu} CPUs: ${mostVcpus} at most`, {
    hint: `banger vm set REF --vcpu ${mostVcpus}`,
  });
}

/** Everything up to the moment at which the guest could start, each once and in this order. */
export function machineCalls(machine: FirecrackerMachine): ApiCall[] {
  const { handles, spec, version, rateLimits } = machine;
  const diskLimit = limiter(perSecond(rateLimits.diskMiB, mebibyte), perSecond(rateLimits.diskOperations, 1));
  const networkLimit = limiter(perSecond(rateLimits.networkMiB, mebibyte), undefined);
  const reporting = isSince(version, reportingSince) ? { free_page_reporting: true } : {};
  return [
    {
      method: "PUT",
      path: "/machine-config",
      body: { vcpu_count: spec.vcpu, mem_size_mib: spec.memoryMiB },
    },
    bootSource(machine),
    ...drives.map((each) => drive(each, diskLimit)),
    networkInterface(handles, networkLimit),
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
