/** The control connection to one running QEMU, held as long as the process lives. */
import type { ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import type { Clock } from "../clock.js";
import { BangerError } from "../errors.js";
import type { VmHandles } from "../handles.js";
import type { ProcessExit, ProcessIdentity, Seen } from "../model.js";
import { type AddressedForward, readForwards } from "./net-user.js";
import { isAlive } from "./proc.js";
import { connectQmp, type QmpClient } from "./qmp.js";
import { sharedRun } from "./shared-run.js";
import { type ChildExit, describeEnd, lastLines } from "./vmm-exit.js";
import { holdsWithin, sleep } from "./wait.js";

export type SeenForwards = Seen<{ list: AddressedForward[] }>;

export interface ControlHooks {
  clock: Clock;
  /** Something that an observation shows is different now. */
  changed: () => void;
  /** The process is gone; called once. */
  ended: (exit: ProcessExit) => void;
}

const reconnect = { firstMs: 10, maxMs: 1_000 };
/** How long a process may take to vanish after it closed its control socket. */
const vanishMs = 5_000;
/** An answer of QEMU about its forwards is asked for again after this time: others may change them. */
const forwardsFreshMs = 10_000;

export class VmmControl {
  readonly identity: ProcessIdentity;
  /** Set before this daemon asks the process to end, so that its end is not taken for a loss. */
  asked = false;
  /** Resolves when the process is gone and its end was told, or when it is no longer followed. */
  readonly gone: Promise<void>;
  readonly #handles: VmHandles;
  readonly #hooks: ControlHooks;
  readonly #stop = new AbortController();
  readonly #childExit: Promise<ChildExit> | undefined;
  #qmp: QmpClient | undefined;
  #waiting: ((qmp: QmpClient) => void)[] = [];
  #forwards: SeenForwards = { is: "unknown", cause: "QEMU has not been asked yet" };
  #forwardsReadAt = 0;
  #shutdownReason: string | undefined;

  /** `child` is given by the daemon that started the process; it alone learns the exit status. */
  constructor(handles: VmHandles, identity: ProcessIdentity, hooks: ControlHooks, child?: ChildProcess) {
    this.#handles = handles;
    this.identity = identity;
    this.#hooks = hooks;
    if (child !== undefined) {
      this.#childExit =
        child.exitCode !== null || child.signalCode !== null
          ? Promise.resolve({ code: child.exitCode, signal: child.signalCode })
          : new Promise((resolve) => child.once("exit", (code, signal) => resolve({ code, signal })));
    }
    this.gone = this.#hold();
  }

  /** The connection, once there is one. @throws BangerError `qmp_timeout`. */
  async client(deadlineMs = 5_000): Promise<QmpClient> {
    if (this.#qmp !== undefined) return this.#qmp;
    const { clock } = this.#hooks;
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
    const age = this.#hooks.clock.now() - this.#forwardsReadAt;
    if (this.#qmp !== undefined && age >= forwardsFreshMs) void this.refreshForwards();
    return this.#forwards;
  }

  /** Asks QEMU for its forwards now; never rejects, since an error is what is then seen. */
  readonly refreshForwards = sharedRun(async () => {
    let seen: SeenForwards;
    this.#forwardsReadAt = this.#hooks.clock.now();
    try {
      seen = { is: "present", list: await readForwards(await this.client()) };
    } catch (error) {
      seen = { is: "unknown", cause: (error as Error).message };
    }
    const different = JSON.stringify(seen) !== JSON.stringify(this.#forwards);
    this.#forwards = seen;
    if (different) this.#hooks.changed();
  });

  /** Lets go of the process, which runs on. */
  close(): void {
    this.#stop.abort(new BangerError("vmm_released", "the VMM is no longer followed", { retry: "later" }));
    this.#qmp?.close();
  }

  async #hold(): Promise<void> {
    const { clock } = this.#hooks;
    const { signal } = this.#stop;
    let pauseMs = reconnect.firstMs;
    try {
      while (isAlive(this.identity)) {
        if (await this.#converse()) {
          pauseMs = reconnect.firstMs;
          await holdsWithin(clock, vanishMs, () => !isAlive(this.identity), signal);
        } else {
          await sleep(clock, pauseMs, signal);
          pauseMs = Math.min(pauseMs * 2, reconnect.maxMs);
        }
      }
      const child = await this.#childExit;
      if (!signal.aborted) this.#hooks.ended(this.#describe(child));
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /** One connection from its greeting to its end; false when there was none. */
  async #converse(): Promise<boolean> {
    let qmp: QmpClient;
    try {
      qmp = await connectQmp(this.#handles.qmpSocket, this.#hooks.clock);
    } catch {
      return false;
    }
    if (this.#stop.signal.aborted) {
      qmp.close();
      return true;
    }
    qmp.onEvent(({ event, data }) => {
      if (event === "SHUTDOWN" && typeof data["reason"] === "string") this.#shutdownReason = data["reason"];
    });
    this.#qmp = qmp;
    for (const take of this.#waiting.splice(0)) take(qmp);
    void this.refreshForwards();
    await qmp.closed;
    this.#qmp = undefined;
    return true;
  }

  #describe(child: ChildExit | undefined): ProcessExit {
    let lastLine: string | undefined;
    try {
      lastLine = lastLines(readFileSync(this.#handles.vmmLog, "utf8"), 1)[0];
    } catch {
      // The log says why only in words; without it the exit status has to do.
    }
    return describeEnd({
      asked: this.asked,
      ...(this.#shutdownReason === undefined ? {} : { shutdownReason: this.#shutdownReason }),
      ...(child === undefined ? {} : { child }),
      ...(lastLine === undefined ? {} : { lastLine }),
    });
  }
}
