/** The hold on one Firecracker: whether its guest runs, whether it has halted, and how the process ended. */
import { stat, truncate } from "node:fs/promises";
import { createConnection, type Socket } from "node:net";
import { type Home, type VmHandles, vmHandles } from "../../../home/handles.js";
import { isAlive } from "../../../host/processes.js";
import { holdsWithin, sleep } from "../../../host/wait.js";
import { BangerError } from "../../../lib/errors.js";
import type { ProcessExit, ProcessIdentity, VmId } from "../../../model/model.js";
import type { HelperCalls } from "../../helper/calls.js";
import { processStuck, VmmControl } from "../control.js";
import { endOf } from "../log-end.js";
import type { DiskName, GuestState, Hooks } from "../vmm.js";
import { type FirecrackerApi, firecrackerApi } from "./api.js";
import { describeFirecrackerEnd, hasHalted } from "./exit.js";
import { ctrlAltDelCall, rootDevice, workDevice, workResizedCall } from "./machine.js";

/** How often the console is looked at for a guest that has halted. */
const consoleMs = 1_000;
const killedMs = 10_000;
/** A Firecracker that cannot be asked for so long is taken for one whose guest runs. */
const unaskedMs = 5_000;

export class FirecrackerControl extends VmmControl {
  readonly disks = { root: rootDevice, work: workDevice };
  /** It hands what it cannot write back to its guest as an error. */
  readonly pause = undefined;
  readonly api: FirecrackerApi;
  readonly #id: VmId;
  readonly #helper: HelperCalls | undefined;
  readonly #handles: VmHandles;
  readonly #since: number;
  #socket: Socket | undefined;
  #guest: GuestState = "unasked";
  #halted = false;

  /** `helper`: where there is one, it alone can end the process. */
  constructor(
    { home, helper }: { home: Home; helper: HelperCalls | undefined },
    id: VmId,
    identity: ProcessIdentity,
    hooks: Hooks,
  ) {
    super(identity, hooks);
    const handles = vmHandles(home, id);
    this.#id = id;
    this.#helper = helper;
    this.#handles = handles;
    this.#since = hooks.clock.now();
    this.api = firecrackerApi(handles.firecrackerSocket);
  }

  get guest(): GuestState {
    return this.#guest;
  }

  /** To be called by who started the guest: what was asked before that is no longer so. */
  guestStarted(): void {
    this.#show("runs");
  }

  async resize(disk: DiskName, sizeBytes: number): Promise<void> {
    if (disk === "root")
      throw new BangerError(
        "root_size_unsupported",
        "Firecracker's root disks have the size of their images",
      );
    await truncate(this.#handles.workDisk, sizeBytes);
    await this.api.tell(workResizedCall, this.stopped.signal);
  }

  async resume(): Promise<void> {}

  powerButton(signal: AbortSignal): Promise<void> {
    return this.api.tell(ctrlAltDelCall, signal);
  }

  /** @throws BangerError `other_vmm`, `process_stuck`, or what the helper says. */
  protected async kill(signal: AbortSignal): Promise<void> {
    const { identity } = this;
    if (this.#helper === undefined)
      throw new BangerError("other_vmm", "Firecracker runs the VM, which only system mode can end");
    // It keeps nothing of the guest's that could be written out, and as first of its pid namespace hears nothing less.
    await this.#helper.call("signalVmm", { vmId: this.#id, ...identity, signal: "SIGKILL" }, signal);
    const { clock } = this.hooks;
    if (!(await holdsWithin(clock, killedMs, () => !isAlive(identity), signal))) throw processStuck(identity);
  }

  override close(): void {
    super.close();
    this.#socket?.destroy();
  }

  /** The connection says nothing, but the kernel closes it when the process ends. */
  protected async session(): Promise<boolean> {
    const socket = await this.#connect();
    if (socket === undefined) {
      if (this.hooks.clock.now() - this.#since > unaskedMs && this.#guest === "unasked") this.#show("runs");
      return false;
    }
    const over = new AbortController();
    const closed = new Promise<void>((resolve) => {
      socket.once("close", () => {
        over.abort();
        resolve();
      });
    });
    if (this.stopped.signal.aborted) socket.destroy();
    if (this.#guest === "unasked") await this.#ask();
    void this.#watchConsole(over.signal).catch(() => {});
    await closed;
    return true;
  }

  protected async explainExit(): Promise<ProcessExit> {
    const { vmmLog, consoleLog } = this.#handles;
    const console = await endOf(consoleLog);
    return describeFirecrackerEnd({
      asked: this.asked,
      halted: this.#halted || (this.#guest === "runs" && hasHalted(console)),
      vmmLog: await endOf(vmmLog),
      console,
    });
  }

  #connect(): Promise<Socket | undefined> {
    return new Promise((resolve) => {
      const socket = createConnection(this.#handles.firecrackerSocket);
      this.#socket = socket;
      socket.resume();
      socket.once("connect", () => resolve(socket));
      socket.on("error", () => socket.destroy());
      socket.once("close", () => resolve(undefined));
    });
  }

  async #ask(): Promise<void> {
    let state: GuestState = "runs";
    try {
      if ((await this.api.instance(this.stopped.signal)).state === "Not started") state = "idle";
    } catch {
      // One that listens and does not answer is stuck, with whatever it does.
    }
    if (this.#guest === "unasked") this.#show(state);
  }

  async #watchConsole(over: AbortSignal): Promise<void> {
    let looked = -1;
    for (;;) {
      const { size } = await stat(this.#handles.consoleLog);
      if (size !== looked && this.#guest === "runs" && hasHalted(await endOf(this.#handles.consoleLog))) {
        this.#halted = true;
        this.#show("idle");
        return;
      }
      looked = size;
      await sleep(this.hooks.clock, consoleMs, over);
    }
  }

  #show(guest: GuestState): void {
    if (this.#guest === guest) return;
    this.#guest = guest;
    this.hooks.changed();
  }
}
