/** The control connection to one running QEMU, held as long as the process lives. */
import type { ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import type { VmHandles } from "../../../home/handles.js";
import { sharedRun } from "../../../host/shared-run.js";
import { BangerError } from "../../../lib/errors.js";
import type { PauseCause, ProcessExit, ProcessIdentity } from "../../../model/model.js";
import { type ControlHooks, type DiskName, type SeenForwards, VmmControl } from "../control.js";
import { type ChildExit, describeEnd, lastLines } from "../exit.js";
import { endOf } from "../log-end.js";
import { readForwards } from "./forwards.js";
import { connectQmp, type QmpClient } from "./qmp.js";

/** An answer of QEMU about its forwards is asked for again after this time: others may change them. */
const forwardsFreshMs = 10_000;

/** The ids that disks have on QEMU's command line; the guest sees them as serials. */
const driveIds = { root: "root", work: "work" } as const;

/** Run states (qapi/run-state.json) in which a guest stands still; with `werror=enospc` only a full disk is an I/O error. */
const pauses: Readonly<Record<string, PauseCause>> = {
  "io-error": "host_disk_full",
  paused: "stopped",
  debug: "stopped",
  "internal-error": "vmm_error",
  watchdog: "vmm_error",
};
/** Events after which the run state may be another one. */
const turns = new Set(["STOP", "RESUME", "SUSPEND", "WAKEUP"]);

export class QemuControl extends VmmControl {
  readonly kind = "qemu";
  /** A QEMU has its guest from the first moment and ends with it. */
  readonly guest = "runs";
  readonly disks = driveIds;
  readonly #handles: VmHandles;
  readonly #childExit: Promise<ChildExit> | undefined;
  #qmp: QmpClient | undefined;
  #waiting: ((qmp: QmpClient) => void)[] = [];
  #forwards: SeenForwards = { is: "unknown", cause: "QEMU has not been asked yet" };
  #forwardsReadAt = 0;
  #shutdownReason: string | undefined;
  #pause: PauseCause | "unasked" | undefined = "unasked";

  /** `child` is given by the daemon that started the process; it alone learns the exit status. */
  constructor(handles: VmHandles, identity: ProcessIdentity, hooks: ControlHooks, child?: ChildProcess) {
    super(identity, hooks);
    this.#handles = handles;
    if (child !== undefined) {
      this.#childExit =
        child.exitCode !== null || child.signalCode !== null
          ? Promise.resolve({ code: child.exitCode, signal: child.signalCode })
          : new Promise((resolve) => child.once("exit", (code, signal) => resolve({ code, signal })));
    }
  }

  /** The connection, once there is one. @throws BangerError `qmp_timeout`. */
  async client(deadlineMs = 5_000): Promise<QmpClient> {
    if (this.#qmp !== undefined) return this.#qmp;
    const { clock } = this.hooks;
    return new Promise((resolve, reject) => {
      const timer = clock.after(deadlineMs, () => {
        this.#waiting = this.#waiting.filter((waiter) => waiter !== take);
        const { qmpSocket } = this.#handles;
        reject(
          new BangerError("qmp_timeout", `QEMU gave no control connection at ${qmpSocket}`, {
            retry: "later",
          }),
        );
      });
      const take = (qmp: QmpClient) => {
        timer.cancel();
        resolve(qmp);
      };
      this.#waiting.push(take);
    });
  }

  /** The forwards as QEMU last told them; an old answer is asked for again in the background. */
  get forwards(): SeenForwards {
    const age = this.hooks.clock.now() - this.#forwardsReadAt;
    if (this.#qmp !== undefined && age >= forwardsFreshMs) void this.refreshForwards();
    return this.#forwards;
  }

  /** Asks QEMU for its forwards now; never rejects, since an error is what is then seen. */
  readonly refreshForwards = sharedRun(async () => {
    let seen: SeenForwards;
    this.#forwardsReadAt = this.hooks.clock.now();
    try {
      seen = { is: "present", list: await readForwards(await this.client()) };
    } catch (error) {
      seen = { is: "unknown", cause: (error as Error).message };
    }
    const different = JSON.stringify(seen) !== JSON.stringify(this.#forwards);
    this.#forwards = seen;
    if (different) this.hooks.changed();
  });

  get pause(): PauseCause | "unasked" | undefined {
    return this.#pause;
  }

  /** Asks QEMU whether its guest runs; what it did not say stays as it was. */
  readonly #refreshPause = sharedRun(async () => {
    const pause = await this.#askPause().catch(() => this.#pause);
    if (pause === this.#pause) return;
    this.#pause = pause;
    this.hooks.changed();
  });

  async #askPause(): Promise<PauseCause | undefined> {
    const answer = (await (await this.client()).execute("query-status")) as { status?: string };
    return pauses[answer.status ?? ""];
  }

  async resume(): Promise<void> {
    if ((await this.#askPause()) === "host_disk_full") await (await this.client()).execute("cont");
    await this.#refreshPause();
  }

  async resize(disk: DiskName, sizeBytes: number): Promise<void> {
    const qmp = await this.client();
    await qmp.execute("block_resize", { device: driveIds[disk], size: sizeBytes });
  }

  override close(): void {
    super.close();
    this.#qmp?.close();
  }

  protected async converse(): Promise<boolean> {
    let qmp: QmpClient;
    try {
      qmp = await connectQmp(this.#handles.qmpSocket, this.hooks.clock);
    } catch {
      return false;
    }
    if (this.stopped.signal.aborted) {
      qmp.close();
      return true;
    }
    qmp.onEvent(({ event, data }) => {
      if (event === "SHUTDOWN" && typeof data["reason"] === "string") this.#shutdownReason = data["reason"];
      if (turns.has(event)) void this.#refreshPause();
    });
    this.#qmp = qmp;
    for (const take of this.#waiting.splice(0)) take(qmp);
    void this.refreshForwards();
    void this.#refreshPause();
    await qmp.closed;
    this.#qmp = undefined;
    return true;
  }

  protected async describe(): Promise<ProcessExit> {
    const child = await this.#childExit;
    const console = await endOf(this.#handles.consoleLog);
    let lastLine: string | undefined;
    try {
      lastLine = lastLines(readFileSync(this.#handles.vmmLog, "utf8"), 1)[0];
    } catch {
      // The log says why only in words; without it the exit status has to do.
    }
    return describeEnd({
      ...{ asked: this.asked, console },
      ...(this.#shutdownReason === undefined ? {} : { shutdownReason: this.#shutdownReason }),
      ...(child === undefined ? {} : { child }),
      ...(lastLine === undefined ? {} : { lastLine }),
    });
  }
}
