/** The simulated root helper: a process of its own, which outlives daemons and can be killed at each of its boundaries. */
import type { MethodName, Params, Result } from "../../helper/contract.js";
import { BangerError } from "../../src/lib/errors.js";
import type { VmId } from "../../src/model/model.js";
import type { SimHost, SimVm } from "./host.js";
import { bridgeIsWhole } from "./network.js";

type Table = { [M in MethodName]: (params: Params<M>, life: Life) => Promise<Result<M>> };

interface Life {
  alive: boolean;
  /** Told when this life ends. */
  ends: ((error: BangerError) => void)[];
}

const never = new Promise<never>(() => {});
const none = {};
const born = (): Life => ({ alive: true, ends: [] });
const unreachable = () =>
  new BangerError("helper_unreachable", "the helper does not answer", { retry: "later" });
const refused = (message: string) => new BangerError("helper_refused", message, { retry: "later" });

export class SimHelper {
  readonly #host: SimHost;
  #life = born();
  #dieAt: { boundary: number; backMs: number } | undefined;
  /** The last call about each VM: one follows the other. */
  readonly #last = new Map<VmId | "", Promise<unknown>>();

  /** Until when nothing can be told of a kind of handles. */
  readonly #blind = new Map<string, number>();

  constructor(host: SimHost) {
    this.#host = host;
  }

  /** A call as a daemon makes it; what it began goes on when that daemon has died. */
  async call<M extends MethodName>(method: M, params: Params<M>): Promise<Result<M>> {
    const life = this.#life;
    if (!life.alive) throw unreachable();
    const key = "vmId" in params ? params.vmId : "";
    const before = method === "look" ? undefined : this.#last.get(key);
    const work = (async () => {
      await before?.catch(() => {});
      await this.#pause(life, 1, 20);
      return this.#methods[method](params, life) as Promise<Result<M>>;
    })();
    work.catch(() => {});
    const ended = new Promise<never>((_resolve, reject) => life.ends.push(reject));
    if (method !== "look") this.#last.set(key, work);
    return Promise.race([work, ended]);
  }

  /** Killed now, and started again after that time: what it had begun stays half done. */
  die(backMs: number): void {
    const life = this.#life;
    if (!life.alive) return;
    this.#dieAt = undefined;
    life.alive = false;
    this.#last.clear();
    for (const end of life.ends) end(unreachable());
    this.#host.time.after(backMs, () => this.revive());
  }

  dieAt(boundary: number, backMs: number): void {
    this.#dieAt = { boundary, backMs };
  }

  revive(): void {
    this.#dieAt = undefined;
    if (!this.#life.alive) this.#life = born();
  }

  async #pause(life: Life, low: number, high: number): Promise<void> {
    const { time, chance } = this.#host;
    await new Promise<void>((resolve) => time.after(chance.between(low, high), resolve));
    if (!life.alive) await never;
  }

  #boundary(life: Life): void {
    if (!life.alive || this.#dieAt === undefined) return;
    this.#dieAt.boundary -= 1;
    if (this.#dieAt.boundary > 0) return;
    this.#host.note("the helper dies at a boundary");
    this.die(this.#dieAt.backMs);
  }

  /** One change of the kernel's or the disk's state, and the time that it takes. */
  async #change(life: Life, change: () => void): Promise<void> {
    await this.#pause(life, 1, 10);
    this.#boundary(life);
    if (!life.alive) await never;
    change();
    this.#boundary(life);
    if (!life.alive) await never;
  }

  async #set(life: Life, vmId: VmId, values: Partial<SimVm>): Promise<void> {
    const vm = () => this.#host.vm(vmId);
    const names = Object.keys(values) as (keyof SimVm)[];
    if (names.every((name) => vm()[name] === values[name])) return;
    await this.#change(life, () => Object.assign(vm(), values));
  }

  readonly #methods: Table = {
    about: async () => ({
      ...{ version: "sim", deviceMapper: true, firewall: "nft", resolver: true },
      ...{ firecracker: "1.16.1", problem: null },
    }),
    look: async () => this.#look(),
    ensureBridge: async (_params, life) => {
      const retry = this.#host.refusesBridge ?? (this.#host.faulty(0.1) ? "later" : null);
      if (retry !== null)
        throw new BangerError("network_in_use", "eth1 lies in the guests' network", { retry });
      await this.#share(life, { rules: true });
      await this.#share(life, { bridge: true });
      return none;
    },
    ensureNoBridge: async (_params, life) => {
      await this.#share(life, { pool: 0, namesPort: null });
      await this.#share(life, { bridge: false, rules: false });
      return none;
    },
    ensureResolver: async ({ port: namesPort }, life) => {
      this.#requireBridge();
      await this.#share(life, { namesPort });
      return { routed: true };
    },
    ensureTapPool: async ({ size }, life) => {
      this.#requireBridge();
      while (this.#host.network.pool !== size)
        await this.#share(life, {
          pool: this.#host.network.pool + (this.#host.network.pool < size ? 1 : -1),
        });
      return none;
    },
    // The rules first: a card that is there is guarded.
    ensureTap: async ({ vmId }, life) => {
      this.#requireBridge();
      await this.#set(life, vmId, { guard: true });
      const { network } = this.#host;
      if (!this.#host.vm(vmId).tap && network.pool > 0) await this.#share(life, { pool: network.pool - 1 });
      await this.#set(life, vmId, { tap: true });
      return none;
    },
    ensureNoTap: async ({ vmId }, life) => {
      if (this.#host.vm(vmId).process !== null) this.#host.torn.push(`the tap of ${vmId}`);
      await this.#set(life, vmId, { tap: false });
      await this.#set(life, vmId, { guard: false });
      return none;
    },
    ensureNat: async ({ vmId }, life) => {
      this.#requireBridge();
      await this.#set(life, vmId, { nat: true });
      return none;
    },
    ensureNoNat: async ({ vmId }, life) => {
      await this.#set(life, vmId, { nat: false });
      return none;
    },
    ensureRootDevice: async ({ vmId, imageId }, life) => {
      const { device, loops } = this.#host.vm(vmId);
      if (device && loops === 2) return { device: vmId };
      if (!this.#host.vm(vmId).rootDisk || !this.#host.image(imageId).ready)
        throw refused("a file is missing");
      await this.#dropDevice(life, vmId);
      await this.#set(life, vmId, { loops: 1 });
      await this.#set(life, vmId, { loops: 2 });
      await this.#set(life, vmId, { device: true });
      return { device: vmId };
    },
    ensureNoRootDevice: async ({ vmId }, life) => {
      await this.#dropDevice(life, vmId);
      return none;
    },
    startVmm: async ({ vmId, vcpu, memoryMiB }, life) => {
      const { process } = this.#host.vm(vmId);
      if (process !== null) return { pid: process.pid, startTime: process.startTime };
      const { rootDisk, workDisk, runtime, device, tap } = this.#host.vm(vmId);
      if (!rootDisk || !workDisk || !runtime || !device || !tap)
        throw refused("the VMM does not find its files");
      await this.#set(life, vmId, { jail: true });
      await this.#change(life, () => this.#host.spawn(vmId, { vcpu, memoryMiB }, "idle"));
      const { pid, startTime } = this.#host.vm(vmId).process ?? { pid: 2, startTime: "0" };
      return { pid, startTime };
    },
    signalVmm: async ({ vmId, pid, startTime }, life) => {
      await this.#change(life, () => {
        const { process } = this.#host.vm(vmId);
        if (process?.pid !== pid || process.startTime !== startTime) return;
        this.#host.exit(vmId, { reason: process.guest === "idle" ? "guest" : "asked", detail: "ended" });
      });
      return none;
    },
    ensureNoJail: async ({ vmId }, life) => {
      if (this.#host.vm(vmId).process !== null)
        throw new BangerError("vm_runs", "the VMM still runs", { retry: "later" });
      await this.#set(life, vmId, { jail: false });
      return none;
    },
  };

  /** What all VMs share is one thing, changed by one call at a time. */
  async #share(life: Life, values: Partial<SimHost["network"]>): Promise<void> {
    const network = () => this.#host.network;
    const names = Object.keys(values) as (keyof SimHost["network"])[];
    if (names.every((name) => network()[name] === values[name])) return;
    await this.#change(life, () => Object.assign(network(), values));
  }

  #requireBridge(): void {
    if (!this.#host.network.bridge) throw refused("there is no bridge");
  }

  async #dropDevice(life: Life, vmId: VmId): Promise<void> {
    if (this.#host.vm(vmId).process !== null) {
      this.#host.torn.push(`the root device of ${vmId}`);
      throw refused("the device is in use");
    }
    await this.#set(life, vmId, { device: false });
    await this.#set(life, vmId, { loops: 0 });
  }

  /** Nothing can be told of this kind of handles now, and for some time. */
  #isBlind(kind: string): boolean {
    const now = this.#host.time.now();
    if (this.#host.faulty(0.01)) this.#blind.set(kind, now + this.#host.chance.between(0, 10_000));
    return this.#host.faults && (this.#blind.get(kind) ?? 0) >= now;
  }

  #look(): Result<"look"> {
    const { vms, network } = this.#host;
    const unknown = { unknown: "simulated" };
    const those = (is: (vm: SimVm) => boolean, kind: string) =>
      this.#isBlind(kind) ? unknown : { ids: [...vms].filter(([, vm]) => is(vm)).map(([id]) => id) };
    return {
      bridge: this.#isBlind("bridge") ? unknown : bridgeIsWhole(this.#host),
      tapPool: this.#isBlind("tapPool") ? unknown : { size: network.pool },
      resolver: this.#isBlind("resolver") ? unknown : network.bridge ? { port: network.namesPort } : null,
      taps: those((vm) => vm.tap && vm.guard, "taps"),
      strayTaps: those((vm) => vm.tap !== vm.guard, "strayTaps"),
      nats: those((vm) => vm.nat, "nats"),
      rootDevices: those((vm) => vm.device && vm.loops === 2, "rootDevices"),
      strayDevices: those(
        (vm) => (vm.device || vm.loops > 0) && !(vm.device && vm.loops === 2),
        "strayDevices",
      ),
      jails: those((vm) => vm.jail, "jails"),
    };
  }
}
