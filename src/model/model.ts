/** The nouns of banger as types only: specs, state, observations, effects and driver capabilities. */
import type { ErrorBody } from "../lib/errors.js";
import type { HostNetwork, SeenNetwork } from "./host-network.js";
import type { Image, ImageId, ImageOrigin, ImageSource } from "./image.js";
import type { NetPolicy } from "./net-policy.js";
import type { Recoveries } from "./recovery.js";
import type { Seen } from "./seen.js";

export type * from "./image.js";
export type { Seen } from "./seen.js";

/** Eight lower-case hex digits; every host name of the VM is derived from it (handles.ts). */
export type VmId = string;

export interface VmSpec {
  vcpu: number;
  memoryMiB: number;
  /** Sizes of the /root work disk, and of the root disk; where that is left out, it has its image's. */
  diskMiB: number;
  rootMiB?: number;
  /** What the guest may reach; it changes while it runs. */
  net: NetPolicy;
  /** False where commands do not get what the image says of its containers' environment, directory and user. */
  imageEnv?: boolean;
}

/** What a VMM is given at its start, and keeps; disks grow and policies change while it runs. */
export const startFields = ["vcpu", "memoryMiB"] as const;
/** What its creator knows a VM by; no command acts on one. */
export type Labels = Readonly<Record<string, string>>;

export const startSteps = ["disk", "network", "process", "agent"] as const;
export type StartStep = (typeof startSteps)[number];
export type Phase = "stopped" | "starting" | "running" | "stopping" | "error" | "deleting" | "deleted";

export interface VmError extends ErrorBody {
  step: StartStep;
}

/** How the VMM ended, as far as anybody saw it. */
export interface ProcessExit {
  /**
   * `asked`: stop, kill or delete; `guest`: the guest powered off; `reboot`: it wants to run again; `panic`: its kernel
   * gave up; `lost`: nobody knows.
   */
  reason: "asked" | "guest" | "reboot" | "panic" | "lost";
  detail: string;
}

/**
 * Why a started guest is paused: its VMM found no space for what the guest wrote, something stopped it
 * through the VMM, a signal stopped the VMM process itself, or the VMM could not continue.
 */
export type PauseCause = "host_disk_full" | "stopped" | "debugged" | "frozen" | "vmm_error";

export interface Vm {
  id: VmId;
  name: string;
  imageId: ImageId;
  /** What is wanted: what the next VMM is started with. */
  spec: VmSpec;
  /** What the VMM was started with, from the step that starts it until it has ended. */
  startedWith: VmSpec | null;
  phase: Phase;
  /** The step under way; set only while `phase` is "starting". */
  step: StartStep | null;
  /** Loopback address in user mode, the guest's own on the bridge; unique among VMs that are not deleted. */
  address: string;
  addressIndex: number;
  /** A VMM was seen on the disks, or could have been there when a stop came between. */
  everStarted: boolean;
  /** A guest may have written to the disks: they are the user's and go only with the VM. */
  disksHoldData: boolean;
  stop: { mode: "graceful" | "kill"; deadlineAt: number; asked: boolean } | null;
  /** A start is wanted as soon as the VM has stopped. */
  restart: boolean;
  error: VmError | null;
  lastExit: (ProcessExit & { at: number }) | null;
  /** When the host's side of the network of a guest that runs was seen to be gone, until it is back. */
  networkLostAt: number | null;
  /** The guest is paused; set only while one is wanted. */
  paused: { cause: PauseCause; at: number } | null;
  /** That banger had to bring the guest back; recovery.ts makes it wait. */
  recoveries: Recoveries;
  /** When its clock last had to be set right. */
  clockSetAt: number | null;
  bootTimeoutMs: number;
  /** When the present boot must have answered, in ms since the epoch; null while no guest boots. */
  bootDeadlineAt: number | null;
  createdAt: number;
  changedAt: number;
  startedAt: number | null;
  readyAt: number | null;
  /** When the guest's init was up, or its agent answered where the init does not say so; null while none runs. */
  bootedAt: number | null;
  commandId: string;
  labels: Labels;
  /** When it is deleted, in ms since the epoch; null where nobody said so. */
  expiresAt: number | null;
}

/** What the fold of the log yields. A plain JSON value: it is what snapshots hold. */
export interface State {
  /** Seq of the last folded event. */
  seq: number;
  /** Last version of each stream; what the next append expects. */
  versions: Record<string, number>;
  /** Seq of the last event of each stream: the cause of what is seen next. */
  lastSeqs: Record<string, number>;
  vms: Record<VmId, Vm>;
  images: Record<ImageId, Image>;
  host: HostNetwork;
  /** Index of the address that was allocated last; allocation continues from here. */
  lastAddressIndex: number;
}

/** How a guest's instructions are executed: by the processor itself, or translated by QEMU. */
export type Accelerator = "kvm" | "tcg";

/** A process is its pid and its start time (field 22 of /proc/PID/stat), never the pid alone. */
export interface ProcessIdentity {
  pid: number;
  startTime: string;
}

export interface Listener {
  proto: "tcp" | "udp";
  address: string;
  port: number;
  pid: number;
  process: string;
  command: string;
}

/** One forwarded TCP port: `hostPort` on the VM's own loopback address. */
export interface Forward {
  guestPort: number;
  hostPort: number;
  /** Address on the guest's loopback that it leads to, through the agent; else the guest's network interface. */
  loopback?: string;
}

/** Whether a disk has room that its file system was not seen to fill; `at_start`: the guest cannot fill it before. */
export type Growing = "no" | "begun" | "at_start";
export type SeenDisk = Seen<{ miB: number; growing: Growing }>;
/** At least so large; a root disk of 0 as large as its image's. */
export type DiskSizes = Required<Pick<VmSpec, "diskMiB" | "rootMiB">>;

/** A handle of several parts: there as soon as one of them is. */
export type Part = Seen<{ whole: boolean }>;

/** A guest that is paused, or whose VMM has not said yet whether it is. */
export type SeenPause =
  | "unasked"
  | { cause: Exclude<PauseCause, "host_disk_full"> }
  /** `freeMiB`: what room there is now where its disks lie. */
  | { cause: "host_disk_full"; freeMiB: number };

/** What a guest says of itself. `unsaid`: its init does not report when it is up. `behindMs`: 0 when close enough. */
export interface SeenGuest {
  init: "starting" | "up" | "unsaid";
  behindMs: number;
}

export interface ObservedVm {
  /** The VM's state directory, disks included. */
  directory: Seen;
  rootDisk: SeenDisk;
  workDisk: SeenDisk;
  seed: Seen;
  /** What the VMM opens as root disk, where that is a device; `whole` when it is fit to be opened. */
  rootDevice: Part;
  /** The bridge that the tap is on, the same for all VMs; see `SeenNetwork`. */
  bridge: Seen;
  /**
   * The host's side of the guest's network: its tap on the bridge, `whole` when nothing but the guest's own address gets
   * through it; or its network process, `whole` when that answers.
   */
  network: Part;
  /** What the guest may reach, by the key of a policy; absent: nothing. `fresh`: with what the host has for it now. */
  policy: Seen<{ key: string; fresh: boolean }>;
  /** Where the VM's sockets are: a directory of its own, which is needed to be whole, and the VMM's jail. */
  runtime: Part;
  /** `idle`: no guest runs in it, because none was started or because it has halted. `pause`: it is paused. */
  process: Seen<ProcessIdentity & { idle?: true; pause?: SeenPause; accelerator?: Accelerator }>;
  /** How the VMM ended, where somebody was there to see it. */
  exit?: ProcessExit;
  /** The agent link: connecting, or answering /healthz. */
  agent: Seen<{ answering: boolean; version: string } & Partial<SeenGuest>>;
  forwards: Seen<{ list: Forward[] }>;
  /** What the guest listens on, as its agent last said. */
  listeners: Seen<{ list: Listener[] }>;
}

export interface ObservedImage {
  /**
   * `damage` says what is wrong with an image that is there but not whole; null when nothing is. `origin` is missing
   * where the image does not say what it was made from.
   */
  image: Seen<{ sizeBytes: number; damage: string | null; origin?: ImageOrigin }>;
  /** A half-built directory, with or without a builder at work in it. */
  partial: Seen<{ building: boolean }>;
}

/** One look at the host. Handles of ids that the state does not know are in here too. */
export interface Observed {
  vms: ReadonlyMap<VmId, ObservedVm>;
  images: ReadonlyMap<ImageId, ObservedImage>;
  network: SeenNetwork;
  /** What holds for a VM or image that the maps do not list: all absent, or unknown where a look failed. */
  unlistedVm: ObservedVm;
  unlistedImage: ObservedImage;
}

/** What becomes true, never how. Each can run twice; the second time it is already true. */
export type Effect =
  | ({ kind: "ensureDisk"; vmId: VmId; imageId: ImageId; name: string } & DiskSizes)
  | { kind: "ensureRootDevice"; vmId: VmId; imageId: ImageId }
  | { kind: "ensureNoRootDevice"; vmId: VmId }
  /** With its address, forwarding and the firewall's tables. */
  | { kind: "ensureBridge" }
  /** So many taps lie ready. */
  | { kind: "ensureTapPool"; size: number }
  /** The host's resolver asks at this port of 127.0.0.1 for names of VMs. */
  | { kind: "ensureResolver"; port: number }
  /** The host's side of the guest's network, from which only this address may speak. */
  | { kind: "ensureNetwork"; vmId: VmId; address: string }
  | { kind: "ensureNoNetwork"; vmId: VmId }
  | { kind: "ensurePolicy"; vmId: VmId; address: string; net: NetPolicy }
  /** The guest reaches nothing. */
  | { kind: "ensureNoPolicy"; vmId: VmId }
  | { kind: "ensureProcess"; vmId: VmId; imageId: ImageId; name: string; spec: VmSpec; address: string }
  /** Resumes a guest that was paused because the host's disk was full, or because something stopped it. */
  | { kind: "ensureRunning"; vmId: VmId }
  | { kind: "ensureAgentLink"; vmId: VmId }
  /** The guest's clock shows the host's time. */
  | { kind: "ensureClock"; vmId: VmId }
  /** The disks of a VM that runs are that large, and so are their file systems where the guest can do that. */
  | ({ kind: "ensureDiskSize"; vmId: VmId } & DiskSizes)
  | ({ kind: "ensureForward"; vmId: VmId; address: string } & Omit<Forward, "hostPort">)
  | ({ kind: "ensureNoForward"; vmId: VmId; address: string } & Forward)
  | { kind: "ensureShutdownAsked"; vmId: VmId }
  | { kind: "ensureNoProcess"; vmId: VmId; process: ProcessIdentity }
  | { kind: "ensureNoRuntime"; vmId: VmId }
  | { kind: "ensureNoDirectory"; vmId: VmId }
  | { kind: "ensureImage"; imageId: ImageId; name: string; source: ImageSource }
  | { kind: "ensureNoPartialImage"; imageId: ImageId }
  | { kind: "ensureNoImage"; imageId: ImageId };

export type EffectKind = Effect["kind"];

/** What a set of drivers can do; code asks these, never for a driver's name. */
export interface Capabilities {
  /** The guest's network interface is a tap on a bridge, and NAT is managed outside the VMM. */
  bridgeNetworking: boolean;
  /** Policies by address and name; without it a guest has NAT or nothing. */
  netPolicies: boolean;
  /** Ports must be forwarded to be reachable from the host. */
  portForwarding: boolean;
  /** The root disk is a device over the VM's file, to be made before each VMM. */
  rootDevice: boolean;
}
