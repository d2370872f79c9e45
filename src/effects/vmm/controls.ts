/** The control connections of one home's running VMMs, and how those ended that did so under this daemon's eyes. */
import type { ChildProcess } from "node:child_process";
import { type Home, vmHandles } from "../../home/handles.js";
import type { FoundVmm } from "../../host/processes.js";
import type { Clock } from "../../lib/clock.js";
import { BangerError } from "../../lib/errors.js";
import type { PauseCause, ProcessExit, ProcessIdentity, VmId } from "../../model/model.js";
import type { ControlHooks, GuestState, SeenForwards } from "./control.js";
import { FirecrackerControl } from "./firecracker/control.js";
import { QemuControl } from "./qemu/control.js";

type Control = QemuControl | FirecrackerControl;

const same = (a: ProcessIdentity, b: ProcessIdentity): boolean =>
  a.pid === b.pid && a.startTime === b.startTime;

export class VmmControls {
  readonly #controls = new Map<VmId, Control>();
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
  follow(byVm: ReadonlyMap<VmId, FoundVmm>): void {
    // QEMU talks to one at a time: who has let go must not take hold again.
    if (this.#closed) return;
    for (const [id, found] of byVm) this.hold(id, found);
  }

  /** The control of this very process of the VM; `child` as for `QemuControl`. */
  hold(id: VmId, { kind, pid, startTime }: FoundVmm, child?: ChildProcess): Control {
    const identity = { pid, startTime };
    const known = this.#controls.get(id);
    if (known !== undefined && same(known.identity, identity)) return known;
    if (known !== undefined) {
      known.close();
      this.#controls.delete(id);
      this.#changed(id);
    }
    this.#exits.delete(id);
    const handles = vmHandles(this.#home, id);
    const hooks: ControlHooks = {
      clock: this.#clock,
      changed: () => this.#changed(id),
      ended: (exit) => {
        if (this.#controls.get(id) !== control) return;
        this.#controls.delete(id);
        this.#exits.set(id, exit);
        this.#changed(id);
      },
    };
    const control: Control =
      kind === "qemu"
        ? new QemuControl(handles, identity, hooks, child)
        : new FirecrackerControl(handles, identity, hooks);
    this.#controls.set(id, control);
    return control;
  }

  /** The VMs whose process is followed. */
  ids(): IterableIterator<VmId> {
    return this.#controls.keys();
  }

  /** The control of the VM's process. @throws BangerError `vm_not_running`. */
  require(id: VmId): Control {
    const control = this.#controls.get(id);
    if (control !== undefined) return control;
    throw new BangerError("vm_not_running", "the VM has no VMM process", { retry: "later" });
  }

  /** The same of one that must be a QEMU. @throws BangerError `vm_not_running`, `other_vmm`. */
  qemu(id: VmId): QemuControl {
    const control = this.require(id);
    if (control.kind === "qemu") return control;
    throw new BangerError("other_vmm", "the VM is not run by QEMU");
  }

  /** And of one that must be a Firecracker. @throws BangerError `vm_not_running`, `other_vmm`. */
  firecracker(id: VmId): FirecrackerControl {
    const control = this.require(id);
    if (control.kind === "firecracker") return control;
    throw new BangerError("other_vmm", "the VM is not run by Firecracker");
  }

  /** What the VM's VMM does with its guest; undefined without a VMM. */
  guest(id: VmId): GuestState | undefined {
    return this.#controls.get(id)?.guest;
  }

  /** Why the guest stands still, as far as its VMM knows; undefined while it runs, and without a VMM. */
  pause(id: VmId): PauseCause | "unasked" | undefined {
    return this.#controls.get(id)?.pause;
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
