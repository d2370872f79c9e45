/** The simulated twin of the local world: one daemon's hands on the simulated host. */
import type { Clock } from "../../src/clock.js";
import { BangerError } from "../../src/errors.js";
import { event, imageStream } from "../../src/events.js";
import type {
  Capabilities,
  Effect,
  Observed,
  ObservedImage,
  ObservedVm,
  ProcessExit,
  Seen,
  VmId,
} from "../../src/model.js";
import { absentImage, absentVm } from "../../src/unlisted.js";
import type { PerformContext, World } from "../../src/world.js";
import { noImage, type SimHost, type SimImage, type SimProcess, type SimVm } from "./host.js";

const userMode: Capabilities = {
  userNetworking: true,
  bridgeNetworking: false,
  portForwarding: true,
  rootDevice: false,
};

type EffectOf<K extends Effect["kind"]> = Extract<Effect, { kind: K }>;

const hidden = { is: "unknown", cause: "its directory cannot be listed" } as const;

const flaky = (message: string) => new BangerError("flaky", message, { retry: "later" });

const never = new Promise<never>(() => {});

export class SimWorld implements World {
  readonly capabilities: Capabilities = userMode;
  /** A link is one to the guest of this very process. */
  readonly #links = new Map<VmId, SimProcess>();
  readonly #exits = new Map<VmId, ProcessExit>();
  readonly #listeners: ((stream: string) => void)[] = [];
  #alive = true;

  /** `boundary` is called before and after every change of the host: a place where the daemon can be killed. */
  constructor(
    readonly host: SimHost,
    readonly clock: Clock,
    readonly boundary: () => void,
  ) {
    host.listen((id, exit) => {
      // Not every end is seen.
      if (exit !== undefined && !host.faulty(0.3)) this.#exits.set(id, exit);
      // A lost wake-up must cost time only.
      if (!this.#alive || host.faulty(0.2)) return;
      for (const tell of this.#listeners) tell(`vm/${id}`);
    });
  }

  /** From now on this daemon is dead: what it has begun stays as it is. */
  kill(): void {
    this.#alive = false;
  }

  onWake(listener: (stream: string) => void): void {
    this.#listeners.push(listener);
  }

  async close(): Promise<void> {
    this.kill();
  }

  async observe(): Promise<Observed> {
    await this.#pause(0, 3);
    if (this.host.faulty(0.01)) throw flaky("a look failed");
    const vms = new Map<VmId, ObservedVm>();
    for (const [id, vm] of this.host.vms) vms.set(id, this.#seenVm(id, vm));
    const images = new Map<string, ObservedImage>();
    for (const [id, image] of this.host.images) images.set(id, this.#seenImage(image));
    return { vms, images, unlistedVm: absentVm, unlistedImage: absentImage };
  }

  #see<T extends object>(there: T | false | null): Seen<T> {
    if (this.host.faulty(0.02)) return { is: "unknown", cause: "simulated" };
    return there === false || there === null ? { is: "absent" } : { is: "present", ...there };
  }

  #seenVm(id: VmId, vm: SimVm): ObservedVm {
    const { process } = vm;
    const exit = this.#exits.get(id);
    const linked = process !== null && this.#links.get(id) === process && process;
    const here = (there: boolean): Seen => (vm.hidden ? hidden : this.#see(there && {}));
    return {
      directory: here(vm.directory),
      rootDisk: here(vm.rootDisk),
      workDisk: this.#see(vm.workDisk && { miB: vm.workMiB, growing: vm.growing }),
      seed: here(vm.seed),
      rootDevice: absentVm.rootDevice,
      tap: absentVm.tap,
      nat: absentVm.nat,
      runtime: this.#see(vm.runtime && { whole: true }),
      process: this.#see(process && { pid: process.pid, startTime: process.startTime }),
      ...(process === null && exit !== undefined && { exit }),
      agent: this.#see(linked && { answering: process.guest === "up", version: "sim" }),
      forwards: this.#see(process && { list: [...process.forwards] }),
      listeners:
        linked && process.guest !== "up"
          ? { is: "unknown", cause: "the agent has not said yet" }
          : this.#see(linked && { list: [...process.listeners] }),
    };
  }

  #seenImage(image: SimImage): ObservedImage {
    return {
      image: this.#see(image.ready && { sizeBytes: 1000, damage: image.damaged ? "truncated" : null }),
      partial: this.#see(image.partial && { building: image.builder }),
    };
  }

  async perform(effect: Effect, context: PerformContext): Promise<void> {
    try {
      await this.#pause(0, 50);
      if (this.host.faulty(0.08)) await this.#fault(effect, context);
      await this.#carryOut(effect, context);
      // Done, but the daemon never learns of it.
      if (this.host.faulty(0.03)) throw flaky(`${effect.kind} lost its answer`);
    } finally {
      if (!this.#alive) await never;
    }
  }

  async #fault(effect: Effect, { signal }: PerformContext): Promise<void> {
    const kind = this.host.chance.between(0, 9);
    if (kind === 0) throw new BangerError("hopeless", `${effect.kind} can never succeed`);
    // A build may take an hour: to wait that long for a hanging one tells nothing more.
    if (kind > 2 || effect.kind === "ensureImage") throw flaky(`${effect.kind} failed`);
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    throw signal.reason;
  }

  async #carryOut(effect: Effect, context: PerformContext): Promise<void> {
    switch (effect.kind) {
      case "ensureDisk":
        return this.#ensureDisk(effect);
      case "ensureProcess":
        return this.#ensureProcess(effect);
      case "ensureRootDevice":
      case "ensureNoRootDevice":
      case "ensureTap":
      case "ensureNoTap":
      case "ensureNat":
      case "ensureNoNat":
        throw new BangerError("not_here", "user mode has none");
      case "ensureAgentLink":
        this.#links.set(effect.vmId, this.#running(effect.vmId));
        return;
      case "ensureDiskSize":
        return this.#ensureDiskSize(effect);
      case "ensureForward":
        return this.#ensureForward(effect);
      case "ensureNoForward":
        return this.#change(() => {
          const { process } = this.host.vm(effect.vmId);
          if (process === null) return;
          process.forwards = process.forwards.filter((each) => each.guestPort !== effect.guestPort);
        });
      case "ensureShutdownAsked":
        return this.#change(() => this.host.askShutdown(effect.vmId));
      case "ensureNoProcess":
        return this.#change(() => {
          const { process } = this.host.vm(effect.vmId);
          if (process?.pid !== effect.process.pid || process.startTime !== effect.process.startTime) return;
          this.host.exit(effect.vmId, { reason: "asked", detail: "killed" });
        });
      case "ensureNoRuntime":
        return this.#change(() => {
          const vm = this.host.vm(effect.vmId);
          if (vm.process !== null) throw new BangerError("vm_runs", "the VMM still runs", { retry: "later" });
          vm.runtime = false;
        });
      case "ensureNoDirectory":
        return this.#change(() => this.host.removeDirectory(effect.vmId));
      case "ensureImage":
        return this.#ensureImage(effect, context);
      case "ensureNoPartialImage":
        return this.#change(() =>
          Object.assign(this.host.image(effect.imageId), { partial: false, builder: false }),
        );
      case "ensureNoImage":
        return this.#change(() => {
          Object.assign(this.host.image(effect.imageId), noImage());
        });
      default:
        effect satisfies never;
    }
  }

  async #ensureDisk({ vmId, imageId, diskMiB }: EffectOf<"ensureDisk">): Promise<void> {
    if (!this.host.image(imageId).ready) throw new BangerError("image_missing", `${imageId} is not there`);
    for (const part of ["runtime", "directory", "rootDisk", "workDisk", "seed"] as const) {
      await this.#pause(1, 40);
      this.#change(() => {
        const vm = this.host.vm(vmId);
        if (part === "workDisk" && !vm.workDisk)
          Object.assign(vm, { workMiB: diskMiB, fileSystemMiB: diskMiB });
        vm[part] = true;
      });
    }
    const vm = this.host.vm(vmId);
    if (vm.workMiB >= diskMiB && vm.growing === "no") return;
    this.#change(() => Object.assign(vm, { growing: "begun", workMiB: Math.max(vm.workMiB, diskMiB) }));
    await this.#pause(1, 400);
    this.#change(() => Object.assign(vm, { growing: "no", fileSystemMiB: vm.workMiB }));
  }

  /** Mark, QEMU, guest and mark again: each is a boundary of its own. */
  async #ensureDiskSize({ vmId, diskMiB }: EffectOf<"ensureDiskSize">): Promise<void> {
    const vm = this.host.vm(vmId);
    const process = this.#running(vmId);
    const guest = () => {
      if (this.host.vm(vmId).process !== process || process.guest !== "up")
        throw flaky("the guest's agent does not answer");
    };
    guest();
    if (vm.workMiB >= diskMiB && vm.growing === "no") return;
    this.#change(() => Object.assign(vm, { growing: "begun" }));
    await this.#pause(1, 20);
    guest();
    this.#change(() => Object.assign(vm, { workMiB: Math.max(vm.workMiB, diskMiB) }));
    await this.#pause(1, 400);
    guest();
    const grows = process.growsFileSystem;
    if (grows) this.#change(() => Object.assign(vm, { fileSystemMiB: vm.workMiB }));
    await this.#pause(1, 20);
    this.#change(() => Object.assign(vm, { growing: grows ? "no" : "at_start" }));
  }

  async #ensureProcess({ vmId }: EffectOf<"ensureProcess">): Promise<void> {
    this.#change(() => {
      const vm = this.host.vm(vmId);
      if (vm.process !== null) return;
      if (!vm.rootDisk || !vm.runtime) throw flaky("the VMM does not find its files");
      this.#exits.delete(vmId);
      this.host.spawn(vmId);
    });
    await this.#pause(1, 200);
  }

  #ensureForward({ vmId, guestPort }: EffectOf<"ensureForward">): void {
    const hostPort = this.host.faulty(0.2) ? guestPort + 10_000 : guestPort;
    this.#change(() => {
      const process = this.#running(vmId);
      if (process.forwards.some((each) => each.guestPort === guestPort)) return;
      process.forwards.push({ guestPort, hostPort });
    });
  }

  async #ensureImage({ imageId }: EffectOf<"ensureImage">, { signal, note }: PerformContext): Promise<void> {
    const image = this.host.image(imageId);
    if (image.ready && !image.damaged) return;
    this.#change(() => Object.assign(image, { partial: true, builder: true }));
    for (const stage of ["packages", "disk"]) {
      note(event(imageStream(imageId), "image.stage_reached", { stage }));
      await this.#pause(1000, 30_000);
      if (signal.aborted) {
        this.#change(() => Object.assign(image, { partial: false, builder: false }));
        throw signal.reason;
      }
    }
    this.#change(() => Object.assign(image, { ...noImage(), ready: true }));
  }

  #running(vmId: VmId): SimProcess {
    const { process } = this.host.vm(vmId);
    if (process !== null) return process;
    throw new BangerError("vm_not_running", "the VM has no VMM process", { retry: "later" });
  }

  #change(change: () => void): void {
    this.boundary();
    if (!this.#alive) return;
    change();
    this.boundary();
  }

  /** Time goes by; a daemon that was killed meanwhile never comes back. */
  async #pause(low: number, high: number): Promise<void> {
    await new Promise<void>((resolve) => this.clock.after(this.host.chance.between(low, high), resolve));
    if (!this.#alive) await never;
  }
}
