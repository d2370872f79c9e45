/** The control connections of one home's running VMMs, and how those ended that did so under this daemon's eyes. */
import type { ChildProcess } from "node:child_process";
import type { Clock } from "../clock.js";
import { BangerError } from "../errors.js";
import { type Home, vmHandles } from "../handles.js";
import type { ProcessExit, ProcessIdentity, VmId } from "../model.js";
import { type SeenForwards, VmmControl } from "./vmm-control.js";

const same = (a: ProcessIdentity, b: ProcessIdentity): boolean =>
  a.pid === b.pid && a.startTime === b.startTime;

export class VmmControls {
  readonly #controls = new Map<VmId, VmmControl>();
  readonly #exits = new Map<VmId, ProcessExit>();
  #closed = false;
  readonly #home: Home;
  readonly #clock: Clock;
  readonly #changed: (id: VmId) => void;

  /** `changed` is told the VM of which something looks different now. */
  constructor(home: Home, clock: Clock, changed: (id: VmId) => void) {
    this.#home = home;
    this.#clock = clock;
    this.#changed = changed;
  }

  /** Takes up the processes that a scan found; those that are followed already stay so. */
  follow(byVm: ReadonlyMap<VmId, ProcessIdentity>): void {
    // QEMU talks to one at a time: who has let go must not take hold again.
    if (this.#closed) return;
    for (const [id, identity] of byVm) this.hold(id, identity);
  }

  /** The control of this very process of the VM; `child` as for `VmmControl`. */
  hold(id: VmId, identity: ProcessIdentity, child?: ChildProcess): VmmControl {
    const known = this.#controls.get(id);
    if (known !== undefined && same(known.identity, identity)) return known;
    if (known !== undefined) {
      known.close();
      this.#controls.delete(id);
      this.#changed(id);
    }
    this.#exits.delete(id);
    const control: VmmControl = new VmmControl(
      vmHandles(this.#home, id),
      identity,
      {
        clock: this.#clock,
        changed: () => this.#changed(id),
        ended: (exit) => {
          if (this.#controls.get(id) !== control) return;
          this.#controls.delete(id);
          this.#exits.set(id, exit);
          this.#changed(id);
        },
      },
      child,
    );
    this.#controls.set(id, control);
    return control;
  }

  /** The VMs whose process is followed. */
  ids(): IterableIterator<VmId> {
    return this.#controls.keys();
  }

  get(id: VmId): VmmControl | undefined {
    return this.#controls.get(id);
  }

  /** The control of the VM's process. @throws BangerError `vm_not_running`. */
  require(id: VmId): VmmControl {
    const control = this.#controls.get(id);
    if (control !== undefined) return control;
    throw new BangerError("vm_not_running", "the VM has no VMM process", { retry: "later" });
  }

  forwards(id: VmId): SeenForwards {
    return this.#controls.get(id)?.forwards ?? { is: "absent" };
  }

  /** Whether a process of the VM is followed; when a scan finds none, how it ended is about to be known. */
  isHeld(id: VmId): boolean {
    return this.#controls.has(id);
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
    for (const control of this.#controls.values()) control.close();
    this.#controls.clear();
  }
}
