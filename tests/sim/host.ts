/** The simulated host: what outlives a daemon. Directories, processes, guests, images; and chance that breaks them. */
import type {
  Forward,
  ImageId,
  Listener,
  PauseCause,
  ProcessExit,
  VmId,
  VmSpec,
} from "../../src/model/model.js";
import { SimHelper } from "./helper.js";
import { noImage, type SimImage } from "./images.js";
import { listener } from "./listeners.js";
import { noNetwork, type SimNetwork } from "./network.js";
import type { Random } from "./random.js";
import type { Time } from "./time.js";
import { noVm, type SimProcess, type SimVm, withoutKernel } from "./vm.js";

export { noVm, type SimProcess, type SimVm } from "./vm.js";

export class SimHost {
  readonly vms = new Map<VmId, SimVm>();
  readonly images = new Map<ImageId, SimImage>();
  readonly helper: SimHelper;
  /** What all VMs of system mode share. */
  network: SimNetwork = noNetwork();
  refusesForwards = false;
  /** Why not, in the words of a failure; null where a bridge can be made. */
  refusesBridge: "never" | "later" | null = null;
  /** Forwards that the daemon itself has, which go with it. */
  readonly own = new Map<VmId, Forward[]>();
  /** There is no room on its disk. */
  full = false;
  /** Another number: the host has other name servers. */
  resolvers = 0;
  memoryMiB = 1_000_000;
  /** While false nothing fails of itself; what is broken already stays so. */
  faults = true;
  /** VMs whose disks were removed while they held data; the checks ask whether that was wanted. */
  readonly lost: VmId[] = [];
  /** What was taken from under a VMM that ran. */
  readonly torn: string[] = [];
  /** What a daemon asked for though its look had shown that it cannot be. */
  readonly groundless: string[] = [];
  #lastPid = 100;
  #listener: (id: VmId, exit?: ProcessExit) => void = () => {};

  constructor(
    readonly time: Time,
    readonly chance: Random,
    readonly mode: "user" | "system" = "user",
    readonly note: (line: string) => void = () => {},
  ) {
    this.helper = new SimHelper(this);
  }

  vm(id: VmId): SimVm {
    const known = this.vms.get(id);
    if (known !== undefined) return known;
    const made = noVm();
    this.vms.set(id, made);
    return made;
  }

  image(id: ImageId): SimImage {
    const known = this.images.get(id);
    if (known !== undefined) return known;
    const made = noImage();
    this.images.set(id, made);
    return made;
  }

  tell = (id: VmId): void => this.#listener(id);

  /** The daemon that lives now is told of what happens; the one before it no more. */
  listen(listener: (id: VmId, exit?: ProcessExit) => void): void {
    this.#listener = listener;
    this.own.clear();
  }

  faulty(probability: number): boolean {
    return this.faults && this.chance.chance(probability);
  }

  /** A VMM starts; its guest boots, unless it hangs, is up already or waits for `begin`. */
  spawn(id: VmId, given: Partial<VmSpec>, guest: SimProcess["guest"] = this.#fate()): void {
    const process: SimProcess = {
      pid: ++this.#lastPid,
      startTime: String(this.time.now()),
      guest,
      listeners: [],
      shutdownAsked: false,
      given,
      growsFileSystem: !this.faulty(0.2),
      pause: null,
      init: "starting",
      behindMs: 0,
      stoodSince: 0,
    };
    this.vm(id).process = process;
    const still = () => this.vm(id).process === process;
    if (this.faulty(0.1)) {
      this.time.after(this.chance.between(0, 9000), () => {
        if (still()) this.exit(id, { reason: "lost", detail: "crashed" });
      });
    }
    if (guest === "up") this.#comeUp(id, process);
    else if (guest !== "idle") this.#boot(id, process);
  }

  /** The guest of a VMM that has none yet boots. */
  begin(id: VmId): void {
    const { process } = this.vm(id);
    if (process?.guest !== "idle") return;
    process.guest = this.#fate();
    this.#boot(id, process);
  }

  #fate(): "hung" | "booting" {
    return this.faulty(0.1) ? "hung" : "booting";
  }

  #boot(id: VmId, process: SimProcess): void {
    this.time.after(this.chance.between(500, 20_000), () => this.#comeUp(id, process));
  }

  #comeUp(id: VmId, process: SimProcess): void {
    if (this.vm(id).process !== process || process.guest === "hung" || process.guest === "idle") return;
    if (process.pause !== null) {
      this.time.after(1000, () => this.#comeUp(id, process));
      return;
    }
    process.guest = "up";
    const vm = this.vm(id);
    vm.rootFileSystemMiB = vm.rootMiB;
    vm.holdsData = true;
    process.listeners = [listener(22)];
    this.#listener(id);
    this.time.after(this.chance.between(0, 9_000), () => {
      if (this.vm(id).process !== process) return;
      process.init = this.chance.chance(0.2) ? "unsaid" : "up";
      this.#listener(id);
    });
  }

  /** The guest powers off: QEMU ends with it, and Firecracker stands there until it is ended. */
  powerOff(id: VmId): void {
    const { process } = this.vm(id);
    if (process === null) return;
    if (this.mode === "user") return this.exit(id, { reason: "guest", detail: "powered off" });
    process.guest = "idle";
    process.listeners = [];
    this.#listener(id);
  }

  exit(id: VmId, exit: ProcessExit): void {
    this.vm(id).process = null;
    this.own.delete(id);
    this.#listener(id, exit);
  }

  /** The guest reboots, or its kernel panics: the VMM ends with it, whichever. */
  reset(id: VmId, reason: "reboot" | "panic"): void {
    if (this.vm(id).process?.guest === "up") this.exit(id, { reason, detail: `a ${reason}` });
  }

  askShutdown(id: VmId): void {
    const { process } = this.vm(id);
    if (process === null || process.shutdownAsked) return;
    process.shutdownAsked = true;
    if (process.guest !== "up" || this.faulty(0.2)) return;
    this.time.after(this.chance.between(100, 6000), () => {
      if (this.vm(id).process === process && process.pause === null) this.powerOff(id);
    });
  }

  /** From now on no guest under QEMU can write: each stands still when it tries. */
  fill(): void {
    this.full = true;
    if (this.mode === "system") return;
    for (const id of this.vms.keys()) this.time.after(this.chance.between(0, 3000), () => this.#write(id));
  }

  #write(id: VmId): void {
    const process = this.vms.get(id)?.process;
    if (this.full && process?.pause === null) this.pause(id, "host_disk_full");
  }

  pause(id: VmId, pause: PauseCause | null): void {
    const process = this.vms.get(id)?.process;
    if (process === undefined || process === null || process.guest === "idle") return;
    if (process.pause === null) process.stoodSince = this.time.now();
    else if (pause === null) process.behindMs += this.time.now() - process.stoodSince;
    process.pause = pause;
    this.#listener(id);
  }

  /** A guest that waits for room goes on, and writes at once what it could not. */
  resume(id: VmId): void {
    const pause = this.vms.get(id)?.process?.pause;
    if (pause !== "host_disk_full" && pause !== "stopped") return;
    this.pause(id, null);
    this.#write(id);
  }

  /** The guest begins or ends to listen on a port. */
  toggleListener(id: VmId, port: number): void {
    const process = this.vms.get(id)?.process;
    if (process?.guest !== "up") return;
    const others = process.listeners.filter((each) => each.port !== port);
    process.listeners =
      others.length === process.listeners.length ? [...process.listeners, listener(port)] : others;
    this.#listener(id);
  }

  removeDirectory(id: VmId): void {
    const vm = this.vm(id);
    if (vm.holdsData) this.lost.push(id);
    if (vm.loops > 0) this.torn.push(`what lies under the root device of ${id}`);
    const { loops, device, tap, guard, nat, jail, process, network, runtime } = vm;
    this.vms.set(id, { ...noVm(), loops, device, tap, guard, nat, jail, process, network, runtime });
  }

  /** Everything that runs ends; of what was made only files are left. Whoever calls it has ended the daemon. */
  reboot(): void {
    this.helper.die(0);
    this.network = noNetwork();
    for (const image of this.images.values()) image.builder = false;
    for (const vm of this.vms.values()) {
      Object.assign(vm, withoutKernel);
      // /run is memory; in user mode the sockets lie beside the disks.
      if (this.mode === "system") vm.runtime = false;
    }
  }
}
