/** What one kind of VMM can do: a folder does all of it, and a line of the daemon's wiring names that folder. */
import type { Duplex } from "node:stream";
import type { Result } from "../../../helper/contract.js";
import type { Config } from "../../config/form.js";
import type { Home, VmHandles } from "../../home/handles.js";
import type { Acceleration } from "../../host/kvm.js";
import type { Clock } from "../../lib/clock.js";
import type {
  Accelerator,
  Effect,
  ImageId,
  PauseCause,
  ProcessExit,
  ProcessIdentity,
  VmId,
} from "../../model/model.js";
import type { HelperCalls } from "../helper/calls.js";
import type { GuestNetwork } from "./kernel-arguments.js";

export type EnsureProcess = Extract<Effect, { kind: "ensureProcess" }>;

/** By what the processes of one kind of VMM are told apart from all others. */
export interface VmmSigns {
  readonly kind: string;
  /** The VM that a process with these arguments runs; its home they do not say. "banger-" stands somewhere in them. */
  serves(argv: readonly string[]): { id: VmId; accelerator: Accelerator } | undefined;
  /** Where the process of a VM of this home sits, and which files it has open if that place was lost. */
  traces(handles: VmHandles): { places: readonly string[]; files: readonly string[] };
}

export interface Vmm extends VmmSigns {
  /**
   * Starts one and its guest, where there is none; when that fails, nothing that runs is left. `hold` is told as soon as
   * there is a process.
   */
  start(effect: EnsureProcess, hold: Hold, signal: AbortSignal): Promise<void>;
  /** Follows a process that already exists. */
  attach(id: VmId, process: ProcessIdentity, hooks: Hooks): Attached;
  /** A way to the guest's agent. It waits, however long the guest takes, until the agent answers. */
  dial(id: VmId, signal: AbortSignal): Promise<AgentLine>;
  /** Takes away what is left on the host beside the VM's own directories; no process of the VM runs any more. */
  cleanUp(id: VmId, signal: AbortSignal): Promise<void>;
}

/** Follows the process that was just started, instead of whatever the VM had before. */
export type Hold = <A extends Attached>(attach: (hooks: Hooks) => A) => A;

export interface Hooks {
  clock: Clock;
  /** Something that an observation shows is different now. */
  changed: () => void;
  /** The process is gone; called once. */
  ended: (exit: ProcessExit) => void;
}

/**
 * What the VMM does with its guest: `unasked`, as long as it has not said; `idle`, when no guest runs in it, be it that
 * none was started or that it has halted, so that the process is of no use any more.
 */
export type GuestState = "unasked" | "runs" | "idle";

export type DiskName = "root" | "work";

/** One process that is followed. */
export interface Attached {
  readonly identity: ProcessIdentity;
  readonly guest: GuestState;
  /** Why the guest is paused; undefined while it runs. */
  readonly pause: PauseCause | "unasked" | undefined;
  /** By what the guest knows its disks: device names or serials. */
  readonly disks: Readonly<Record<DiskName, string>>;
  /** Resolves when the process is gone and its end was told, or when it is no longer followed. */
  readonly gone: Promise<void>;
  /** Makes the disk that large, for the guest to see while it runs. @throws BangerError */
  resize(disk: DiskName, sizeBytes: number): Promise<void>;
  /** Resumes a guest that is paused for lack of disk space or was stopped; any other is left alone. @throws BangerError */
  resume(): Promise<void>;
  /** Asks the guest to shut down as the machine's power button or its keyboard would. */
  powerButton(signal: AbortSignal): Promise<void>;
  /** Ends the process; its end then counts as asked for. Resolves when it is gone. @throws BangerError `process_stuck` */
  end(signal: AbortSignal): Promise<void>;
  /** Lets go of the process, which runs on. */
  close(): void;
}

/** As many streams to the guest's agent as are asked for, until it has closed. */
export interface AgentLine {
  open(): Duplex;
  readonly closed: Promise<void>;
  close(): void;
}

/** What system mode lends a VMM. In user mode it has an overlay as root disk, and a network process serves its guest. */
export interface SystemLoan {
  helper: HelperCalls;
  /** The root disk is a device or a file, raw in both. */
  rootDisk: "device" | "file";
  /** Of all guests; each hangs on a tap that already exists. */
  network: Omit<GuestNetwork, "address">;
}

/** What every kind of VMM is made with. */
export interface VmmHost {
  home: Home;
  clock: Clock;
  config: Config;
  /** Of programs that are started. */
  environment: Readonly<Record<string, string>>;
  /** Checks the image; what of it a VM is started with. */
  prepare(imageId: ImageId): Promise<{ kernel: string; initrd: string; bootArguments: string }>;
  acceleration(): Promise<Acceleration>;
  /** Undefined in user mode. */
  system: SystemLoan | undefined;
}

/** What the choice of a VMM goes by, in system mode. */
export interface VmmFacts {
  /** KVM can be used. */
  kvm: boolean;
  /** What the helper says that there is; undefined where it does not answer. */
  about: Result<"about"> | undefined;
  /** The Firecracker that system mode was installed with. */
  firecracker: string | null;
}

/** A kind of VMM, before it is made. */
export interface VmmKind {
  /** As the configuration names it. */
  readonly kind: string;
  /** As people are told of it. */
  readonly title: string;
  readonly modes: readonly ("user" | "system")[];
  /** Everything that it needs in system mode is usable. */
  usable(facts: VmmFacts): boolean;
  make(host: VmmHost): Vmm;
}
