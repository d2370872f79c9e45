/** What a simulated host has of one VM, and the process that may run on it. */
import type {
  Growing,
  Listener,
  PauseCause,
  ProcessIdentity,
  SeenGuest,
  VmSpec,
} from "../../src/model/model.js";
import type { SimNetworkProcess } from "./network-processes.js";

export interface SimProcess extends ProcessIdentity {
  /** `idle`: none has been started, or it has halted and the VMM stands there all the same. */
  guest: "idle" | "booting" | "up" | "hung";
  listeners: Listener[];
  shutdownAsked: boolean;
  /** What it was started with, as far as its command line tells. */
  given: Partial<VmSpec>;
  /** Its guest has resize2fs. */
  growsFileSystem: boolean;
  /** The guest stands still. */
  pause: PauseCause | null;
  init: SeenGuest["init"];
  /** How far its clock is behind the host's, for it stood still. */
  behindMs: number;
  stoodSince: number;
}

export interface SimVm {
  directory: boolean;
  rootDisk: boolean;
  workDisk: boolean;
  workMiB: number;
  /** What of it the file system fills. */
  fileSystemMiB: number;
  growing: Growing;
  /** The same of the root disk, which the guest itself makes its file system fill when it boots. */
  rootMiB: number;
  rootFileSystemMiB: number;
  rootGrowing: Growing;
  seed: boolean;
  /** The directory of sockets. */
  runtime: boolean;
  /** What the helper makes: loop devices, the device over them, card and firewall rule, way out, jail. */
  loops: 0 | 1 | 2;
  device: boolean;
  tap: boolean;
  guard: boolean;
  nat: boolean;
  jail: boolean;
  process: SimProcess | null;
  /** In user mode; it outlives the VMM, and the VMM it. */
  network: SimNetworkProcess | null;
  /** A guest was up on these disks: they hold what a user may have written. */
  holdsData: boolean;
  /** What is in its directory cannot be told. */
  hidden: boolean;
}

/** What of a VM is in no file: gone with the kernel. */
export const withoutKernel = {
  loops: 0,
  device: false,
  tap: false,
  guard: false,
  nat: false,
  process: null,
  network: null,
} as const;

export const noVm = (): SimVm => ({
  directory: false,
  rootDisk: false,
  workDisk: false,
  workMiB: 0,
  fileSystemMiB: 0,
  growing: "no",
  rootMiB: 0,
  rootFileSystemMiB: 0,
  rootGrowing: "no",
  seed: false,
  runtime: false,
  ...withoutKernel,
  jail: false,
  holdsData: false,
  hidden: false,
});
