/** What is common to following one VMM, whichever: it is held as long as its process lives, and its end is told. */

import { isAlive } from "../../host/processes.js";
import { holdsWithin, sleep } from "../../host/wait.js";
import { BangerError } from "../../lib/errors.js";
import type { PauseCause, ProcessExit, ProcessIdentity } from "../../model/model.js";
import type { Attached, DiskName, GuestState, Hooks } from "./vmm.js";

const reconnect = { firstMs: 10, maxMs: 1_000 };
/** How long a process may take to vanish after it closed its control socket. */
const vanishMs = 5_000;

/** A process that even SIGKILL does not end sits in the kernel. */
export const processStuck = ({ pid }: ProcessIdentity): BangerError =>
  new BangerError("process_stuck", `process ${pid} does not exit`, {
    hint: `cat /proc/${pid}/stack`,
    retry: "later",
  });

export abstract class VmmControl implements Attached {
  abstract readonly guest: GuestState;
  abstract readonly pause: PauseCause | "unasked" | undefined;
  abstract readonly disks: Readonly<Record<DiskName, string>>;
  readonly identity: ProcessIdentity;
  readonly gone: Promise<void>;
  /** Set before this daemon asks the process to end, so that its end is not taken for a loss. */
  protected asked = false;
  protected readonly hooks: Hooks;
  protected readonly stopped = new AbortController();

  constructor(identity: ProcessIdentity, hooks: Hooks) {
    this.identity = identity;
    this.hooks = hooks;
    // Not before the fields of the whole object are there.
    this.gone = Promise.resolve().then(() => this.#follow());
  }

  abstract resize(disk: DiskName, sizeBytes: number): Promise<void>;
  abstract resume(): Promise<void>;
  abstract powerButton(signal: AbortSignal): Promise<void>;

  /** Ends the process in the ways that it knows. */
  protected abstract kill(signal: AbortSignal): Promise<void>;

  /** One control connection from its beginning to its end; false when there was none. */
  protected abstract session(): Promise<boolean>;

  /** How the process ended, of which everything can be known by now. */
  protected abstract explainExit(): Promise<ProcessExit>;

  end(signal: AbortSignal): Promise<void> {
    this.asked = true;
    return this.kill(signal);
  }

  close(): void {
    this.stopped.abort(new BangerError("vmm_released", "the VMM is no longer followed", { retry: "later" }));
  }

  async #follow(): Promise<void> {
    const { clock } = this.hooks;
    const { signal } = this.stopped;
    let pauseMs = reconnect.firstMs;
    try {
      while (isAlive(this.identity)) {
        signal.throwIfAborted();
        if (await this.session()) {
          pauseMs = reconnect.firstMs;
          await holdsWithin(clock, vanishMs, () => !isAlive(this.identity), signal);
        } else {
          await sleep(clock, pauseMs, signal);
          pauseMs = Math.min(pauseMs * 2, reconnect.maxMs);
        }
      }
      const exit = await this.explainExit();
      if (!signal.aborted) this.hooks.ended(exit);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }
}
