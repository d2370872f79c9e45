/** The simulated twin of the local world: one daemon's hands on the simulated host. */

import { type HeldByKernel, runtimeOf } from "../../src/effects/helper/look.js";
import type { NetworkDriver } from "../../src/effects/net/network.js";
import type { Clock } from "../../src/lib/clock.js";
import { BangerError } from "../../src/lib/errors.js";
import type { PerformContext, World } from "../../src/loop/world.js";
import { absentImage } from "../../src/model/absent.js";
import { event, vmStream } from "../../src/model/events.js";
import type {
  Capabilities,
  Effect,
  Observed,
  ObservedImage,
  ObservedVm,
  ProcessExit,
  Seen,
  SeenPause,
  VmId,
} from "../../src/model/model.js";
import { bridged as systemMode, capabilities as userMode } from "../fixtures.js";
import { ensureDisk, ensureDiskSize, type Hands } from "./disks.js";
import { ensureForward, ensureNoForward, seenForwards } from "./forwards.js";
import type { SimHost, SimProcess, SimVm } from "./host.js";
import { ensureImage, noImage, originOf, type SimImage } from "./images.js";
import { Looks } from "./looks.js";
import { ensureNetwork, seenNetwork, simNetworks } from "./network-processes.js";
import { agentOf, shownOf } from "./seen.js";
import { SimSystem, unlisted } from "./system.js";

type EffectOf<K extends Effect["kind"]> = Extract<Effect, { kind: K }>;

const hidden = { is: "unknown", cause: "its directory cannot be listed" } as const;

const flaky = (message: string) => new BangerError("host_failed", message, { retry: "later" });

const never = new Promise<never>(() => {});

export class SimWorld implements World {
  readonly capabilities: Capabilities;
  readonly #system: SimSystem;
  readonly #network: NetworkDriver;
  /** A link is one to the guest of this very process. */
  readonly #links = new Map<VmId, SimProcess>();
  readonly #exits = new Map<VmId, ProcessExit>();
  readonly #listeners: ((stream: string) => void)[] = [];
  readonly #hands: Hands;
  readonly #looks = new Looks();
  #alive = true;

  /**
   * `boundary` is called before and after every change of the host: a place where the daemon can be killed. `looked` is
   * told what each look shows.
   */
  constructor(
    readonly host: SimHost,
    readonly clock: Clock,
    readonly boundary: () => void,
    readonly looked: (observed: Observed) => void = () => {},
  ) {
    this.capabilities = host.mode === "user" ? userMode : systemMode;
    this.#hands = {
      host,
      running: (id) => this.#running(id),
      change: (change) => this.#change(change),
      pause: (low, high) => this.#pause(low, high),
    };
    this.#system = new SimSystem(host, (work) => this.#reach(work));
    this.#network = host.mode === "user" ? simNetworks(this.#hands) : this.#system.bridge;
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
    const sight = await this.#system.look();
    const vms = new Map<VmId, ObservedVm>();
    for (const [id, vm] of this.host.vms) vms.set(id, this.#seenVm(id, vm, sight.of(id)));
    const images = new Map<string, ObservedImage>();
    for (const [id, image] of this.host.images) images.set(id, this.#seenImage(id, image));
    const observed = {
      vms,
      images,
      network: sight.network,
      unlistedVm: unlisted(sight),
      unlistedImage: absentImage,
    };
    this.#looks.note(this.clock.now(), observed);
    this.looked(observed);
    return observed;
  }

  #see<T extends object>(there: T | false | null): Seen<T> {
    if (this.host.faulty(0.02)) return { is: "unknown", cause: "simulated" };
    return there === false || there === null ? { is: "absent" } : { is: "present", ...there };
  }

  #seenVm(id: VmId, vm: SimVm, { jail, ...held }: HeldByKernel): ObservedVm {
    const { process } = vm;
    const exit = this.#exits.get(id);
    const linked = process !== null && this.#links.get(id) === process && process;
    const here = (there: boolean): Seen => (vm.hidden ? hidden : this.#see(there && {}));
    return {
      directory: here(vm.directory),
      rootDisk: vm.hidden ? hidden : this.#see(vm.rootDisk && { miB: vm.rootMiB, growing: vm.rootGrowing }),
      workDisk: this.#see(vm.workDisk && { miB: vm.workMiB, growing: vm.growing }),
      seed: here(vm.seed),
      ...held,
      ...(this.host.mode === "user" && seenNetwork(this.host, id, (there) => this.#see(there))),
      runtime: runtimeOf(this.#see(vm.runtime && {}), jail),
      process: this.#see(process && shownOf(process, this.host)),
      ...(process === null && exit !== undefined && { exit }),
      agent: this.#see(linked && agentOf(process)),
      forwards: this.#see(process && seenForwards(this.host, id)),
      listeners:
        linked && process.guest !== "up"
          ? { is: "unknown", cause: "the agent has not reported yet" }
          : this.#see(linked && { list: [...process.listeners] }),
    };
  }

  #seenImage(id: string, image: SimImage): ObservedImage {
    const whole = { sizeBytes: 1000, damage: null, origin: originOf(id) };
    return {
      image: this.#see(image.ready && (image.damaged ? { sizeBytes: 0, damage: "truncated" } : whole)),
      partial: this.#see(image.partial && { building: image.builder }),
    };
  }

  async perform(effect: Effect, context: PerformContext): Promise<void> {
    try {
      await this.#pause(0, 50);
      if (effect.kind === "ensureProcess") this.#checkGround(effect.vmId);
      if (this.host.faulty(0.08)) await this.#fault(effect, context);
      await this.#carryOut(effect, context);
      // Done, but the daemon never learns of it.
      if (this.host.faulty(0.03)) throw flaky(`${effect.kind} lost its answer`);
    } finally {
      if (!this.#alive) await never;
    }
  }

  /** The helper refuses a VMM without its device or tap; to have asked is wrong all the same. */
  #checkGround(vmId: VmId): void {
    const lacks = this.#looks.lackingFor(vmId, this.host.mode, this.clock.now());
    if (lacks.length > 0)
      this.host.groundless.push(`a VMM of ${vmId} was asked for without ${lacks.join(", ")}`);
  }

  async #fault(effect: Effect, { signal }: PerformContext): Promise<void> {
    const kind = this.host.chance.between(0, 9);
    if (kind === 0) throw new BangerError("qemu_missing", `${effect.kind} can never succeed`);
    // A build may take an hour: to wait that long for a hanging one tells nothing more.
    if (kind > 2 || effect.kind === "ensureImage") throw flaky(`${effect.kind} failed`);
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    throw signal.reason;
  }

  async #carryOut(effect: Effect, context: PerformContext): Promise<void> {
    const { signal } = context;
    switch (effect.kind) {
      case "ensureDisk":
        return ensureDisk(this.#hands, effect);
      case "ensureProcess":
        return this.#ensureProcess(effect);
      case "ensureRootDevice":
        return this.#system.rootDevices.ensure(effect.vmId, effect.imageId, signal);
      case "ensureNoRootDevice":
        return this.#system.rootDevices.ensureNone(effect.vmId, signal);
      case "ensureBridge":
      case "ensureTapPool":
      case "ensureResolver":
        return this.#system.share(effect, signal);
      case "ensureNetwork":
      case "ensureNoNetwork":
      case "ensurePolicy":
      case "ensureNoPolicy":
        return ensureNetwork(this.#network, effect, signal);
      case "ensureRunning":
        return this.#change(() => this.host.resume(effect.vmId));
      case "ensureAgentLink":
        this.#links.set(effect.vmId, this.#running(effect.vmId));
        return;
      case "ensureClock":
        return this.#setClock(effect.vmId, context);
      case "ensureDiskSize":
        return ensureDiskSize(this.#hands, effect);
      case "ensureForward":
        return ensureForward(this.#hands, this.clock, effect);
      case "ensureNoForward":
        return ensureNoForward(this.#hands, effect);
      case "ensureShutdownAsked":
        return this.#change(() => this.host.askShutdown(effect.vmId));
      case "ensureNoProcess":
        if (this.host.mode === "system") return this.#system.signal(effect.vmId, effect.process);
        return this.#change(() => {
          const { process } = this.host.vm(effect.vmId);
          if (process?.pid !== effect.process.pid || process.startTime !== effect.process.startTime) return;
          this.host.exit(effect.vmId, { reason: "asked", detail: "killed" });
        });
      case "ensureNoRuntime":
        if (this.host.mode === "system") await this.#system.removeJail(effect.vmId);
        return this.#change(() => {
          const vm = this.host.vm(effect.vmId);
          if (vm.process !== null) throw new BangerError("vm_runs", "the VMM still runs", { retry: "later" });
          vm.runtime = false;
        });
      case "ensureNoDirectory":
        return this.#change(() => this.host.removeDirectory(effect.vmId));
      case "ensureImage":
        return ensureImage(this.#hands, effect, context);
      case "ensureNoPartialImage":
      case "ensureNoImage": {
        const gone = effect.kind === "ensureNoImage" ? noImage() : { partial: false, builder: false };
        return this.#change(() => void Object.assign(this.host.image(effect.imageId), gone));
      }
      default:
        effect satisfies never;
    }
  }

  #setClock(id: VmId, { note }: PerformContext): void {
    const process = this.#running(id);
    const { behindMs } = process;
    this.#change(() => {
      process.behindMs = 0;
    });
    if (behindMs !== 0) note(event(vmStream(id), "vm.clock_set", { behindMs }));
  }

  async #ensureProcess({ vmId, imageId, spec }: EffectOf<"ensureProcess">): Promise<void> {
    if (this.host.vm(vmId).process !== null) return;
    this.#exits.delete(vmId);
    if (this.host.mode === "system") {
      await this.#system.start(vmId, imageId, spec);
      await this.#pause(1, 50);
      this.#change(() => this.host.begin(vmId));
    } else {
      this.#change(() => {
        const vm = this.host.vm(vmId);
        if (vm.process !== null) return;
        if (!vm.rootDisk || !vm.runtime) throw flaky("the VMM does not find its files");
        this.host.spawn(vmId, spec);
      });
    }
    await this.#pause(1, 200);
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

  /** What another process does for this one: it may end when this one is dead, and is then heard by nobody. */
  async #reach<T>(work: () => Promise<T>): Promise<T> {
    this.boundary();
    if (!this.#alive) await never;
    try {
      return await work();
    } finally {
      if (!this.#alive) await never;
      this.boundary();
      if (!this.#alive) await never;
    }
  }

  /** Time goes by; a daemon that was killed meanwhile never comes back. */
  async #pause(low: number, high: number): Promise<void> {
    await new Promise<void>((resolve) => this.clock.after(this.host.chance.between(low, high), resolve));
    if (!this.#alive) await never;
  }
}
