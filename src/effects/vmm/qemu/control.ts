/** The control connection to one running QEMU, held as long as the process lives. */
import { readFileSync } from "node:fs";
import type { VmHandles } from "../../../home/handles.js";
import { sharedRun } from "../../../host/shared-run.js";
import { BangerError } from "../../../lib/errors.js";
import type { PauseCause, ProcessExit, ProcessIdentity } from "../../../model/model.js";
import { VmmControl } from "../control.js";
import { endOf, written } from "../log-end.js";
import type { DiskName, Hooks } from "../vmm.js";
import { endQemu } from "./end.js";
import { type ChildExit, describeEnd, lastLines } from "./exit.js";
import { connectQmp, type QmpClient } from "./qmp.js";

/** The ids that disks have on QEMU's command line; the guest sees them as serials. */
const driveIds = { root: "root", work: "work" } as const;

/** Run states (qapi/run-state.json) in which a guest is paused; with `werror=enospc` only a full disk is an I/O error. */
const pauses: Readonly<Record<string, PauseCause>> = {
  "io-error": "host_disk_full",
  paused: "stopped",
  debug: "debugged",
  "internal-error": "vmm_error",
  watchdog: "vmm_error",
};
/** Events after which the run state may be another one. */
const turns = new Set(["STOP", "RESUME", "SUSPEND", "WAKEUP"]);

export class QemuControl extends VmmControl {
  /** A QEMU has its guest from the first moment and ends with it. */
  readonly guest = "runs";
  readonly disks = driveIds;
  readonly #handles: VmHandles;
  readonly #childExit: Promise<ChildExit> | undefined;
  #qmp: QmpClient | undefined;
  #waiting: ((qmp: QmpClient) => void)[] = [];
  #shutdownReason: string | undefined;
  #pause: PauseCause | "unasked" | undefined = "unasked";

  /** `exit` is known to the daemon that started the process: it alone learns the exit status. */
  constructor(handles: VmHandles, identity: ProcessIdentity, hooks: Hooks, exit?: Promise<ChildExit>) {
    super(identity, hooks);
    this.#handles = handles;
    this.#childExit = exit;
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
    const pause = await this.#askPause();
    if (pause === "host_disk_full" || pause === "stopped") await (await this.client()).execute("cont");
    await this.#refreshPause();
  }

  async resize(disk: DiskName, sizeBytes: number): Promise<void> {
    const qmp = await this.client();
    await qmp.execute("block_resize", { device: driveIds[disk], size: sizeBytes });
  }

  async powerButton(): Promise<void> {
    await (await this.client()).execute("system_powerdown");
  }

  protected kill(signal: AbortSignal): Promise<void> {
    const quit = async (deadlineMs: number) => {
      await (await this.client(deadlineMs)).execute("quit", {}, deadlineMs);
    };
    return endQemu(this.identity, quit, this.hooks.clock, signal);
  }

  override close(): void {
    super.close();
    this.#qmp?.close();
  }

  protected async session(): Promise<boolean> {
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
    void this.#refreshPause();
    await qmp.closed;
    this.#qmp = undefined;
    return true;
  }

  protected async explainExit(): Promise<ProcessExit> {
    const child = await this.#childExit;
    await written(this.#handles.consoleLog, this.hooks.clock);
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
