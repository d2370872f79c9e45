/** The VMMs of one home that are followed, and how those ended that did so under this daemon's eyes. */
import type { Clock } from "../../lib/clock.js";
import { BangerError } from "../../lib/errors.js";
import type { PauseCause, ProcessExit, ProcessIdentity, VmId } from "../../model/model.js";
import type { FoundVmm } from "./processes.js";
import type { AgentLine, Attached, GuestState, Hooks, Vmm } from "./vmm.js";

const same = (a: ProcessIdentity, b: ProcessIdentity): boolean =>
  a.pid === b.pid && a.startTime === b.startTime;

interface Followed {
  vmm: Vmm;
  attached: Attached;
}

export class VmmControls {
  readonly #followed = new Map<VmId, Followed>();
  readonly #exits = new Map<VmId, ProcessExit>();
  #closed = false;
  readonly #clock: Clock;
  readonly #changed: (id: VmId) => void;

  /** `changed` is told the VM of which something looks different now. */
  constructor(clock: Clock, changed: (id: VmId) => void) {
    this.#clock = clock;
    this.#changed = changed;
  }

  /** Takes up the processes that a scan found; those that are followed already stay so. */
  follow(byVm: ReadonlyMap<VmId, FoundVmm<Vmm>>): void {
    // QEMU talks to one at a time: who has let go must not take hold again.
    if (this.#closed) return;
    for (const [id, found] of byVm) this.attach(id, found);
  }

  /** Follows this very process of the VM. */
  attach(id: VmId, { vmm, pid, startTime }: FoundVmm<Vmm>): Attached {
    const identity = { pid, startTime };
    const known = this.#followed.get(id)?.attached;
    if (known !== undefined && same(known.identity, identity)) return known;
    return this.hold(id, vmm, (hooks) => vmm.attach(id, identity, hooks));
  }

  /** Follows what `attach` attaches to, instead of whatever the VM had before. */
  hold<A extends Attached>(id: VmId, vmm: Vmm, attach: (hooks: Hooks) => A): A {
    const known = this.#followed.get(id);
    if (known !== undefined) {
      known.attached.close();
      this.#followed.delete(id);
      this.#changed(id);
    }
    this.#exits.delete(id);
    const attached = attach({
      clock: this.#clock,
      changed: () => this.#changed(id),
      ended: (exit) => {
        if (this.#followed.get(id)?.attached !== attached) return;
        this.#followed.delete(id);
        this.#exits.set(id, exit);
        this.#changed(id);
      },
    });
    this.#followed.set(id, { vmm, attached });
    return attached;
  }

  /** The VMs whose process is followed. */
  ids(): IterableIterator<VmId> {
    return this.#followed.keys();
  }

  identities(): ProcessIdentity[] {
    return [...this.#followed.values()].map(({ attached }) => attached.identity);
  }

  #require(id: VmId): Followed {
    const followed = this.#followed.get(id);
    if (followed !== undefined) return followed;
    throw new BangerError("vm_not_running", "the VM has no VMM process", { retry: "later" });
  }

  /** The VM's process. @throws BangerError `vm_not_running`. */
  require(id: VmId): Attached {
    return this.#require(id).attached;
  }

  /** A way to the agent of the VM's guest. @throws BangerError `vm_not_running`. */
  async dial(id: VmId, signal: AbortSignal): Promise<AgentLine> {
    return this.#require(id).vmm.dial(id, signal);
  }

  /** What the VM's VMM does with its guest; undefined without a VMM. */
  guest(id: VmId): GuestState | undefined {
    return this.#followed.get(id)?.attached.guest;
  }

  /** Why the guest is paused, as far as its VMM knows; undefined while it runs, and without a VMM. */
  pause(id: VmId): PauseCause | "unasked" | undefined {
    return this.#followed.get(id)?.attached.pause;
  }

  /** Whether a process of the VM is followed; when a scan finds none, how it ended is about to be known. */
  isHeld(id: VmId): boolean {
    return this.#followed.has(id);
  }

  exit(id: VmId): ProcessExit | undefined {
    return this.#exits.get(id);
  }

  /** Forgets the exits of VMs of which nothing is left. */
  forgetExitsBut(isKnown: (id: VmId) => boolean): void {
    for (const id of this.#exits.keys()) if (!isKnown(id)) this.#exits.delete(id);
  }

  close(): void {
    this.#closed = true;
    for (const { attached } of this.#followed.values()) attached.close();
    this.#followed.clear();
  }
}
