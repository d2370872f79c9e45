/** What is common to following one VMM, whichever: it is held as long as its process lives, and its end is told. */

import { isAlive, type VmmKind } from "../../host/processes.js";
import { holdsWithin, sleep } from "../../host/wait.js";
import type { Clock } from "../../lib/clock.js";
import { BangerError } from "../../lib/errors.js";
import type { ObservedVm, PauseCause, ProcessExit, ProcessIdentity } from "../../model/model.js";

/** Those that a VMM has itself, as it last told them. */
export type SeenForwards = ObservedVm["forwards"];

export interface ControlHooks {
  clock: Clock;
  /** Something that an observation shows is different now. */
  changed: () => void;
  /** The process is gone; called once. */
  ended: (exit: ProcessExit) => void;
}

/**
 * What the VMM does with its guest: `unasked`, as long as it has not said; `idle`, when no guest runs in it, be it that
 * none was started or that it has halted, so that the process is of no use any more.
 */
export type GuestState = "unasked" | "runs" | "idle";

const reconnect = { firstMs: 10, maxMs: 1_000 };
/** How long a process may take to vanish after it closed its control socket. */
const vanishMs = 5_000;

export type DiskName = "root" | "work";

export abstract class VmmControl {
  abstract readonly kind: VmmKind;
  abstract readonly guest: GuestState;
  /** Why the guest stands still; undefined while it runs. */
  abstract readonly pause: PauseCause | "unasked" | undefined;
  abstract readonly forwards: SeenForwards;
  /** By what the guest knows its disks: device names or serials. */
  abstract readonly disks: Readonly<Record<DiskName, string>>;
  readonly identity: ProcessIdentity;
  /** Set before this daemon asks the process to end, so that its end is not taken for a loss. */
  asked = false;
  /** Resolves when the process is gone and its end was told, or when it is no longer followed. */
  readonly gone: Promise<void>;
  protected readonly hooks: ControlHooks;
  protected readonly stopped = new AbortController();

  constructor(identity: ProcessIdentity, hooks: ControlHooks) {
    this.identity = identity;
    this.hooks = hooks;
    // Not before the fields of the whole object are there.
    this.gone = Promise.resolve().then(() => this.#hold());
  }

  /** Makes the disk that large, for the guest to see while it runs. @throws BangerError */
  abstract resize(disk: DiskName, sizeBytes: number): Promise<void>;

  /** A guest that stands still for want of room goes on; any other is left as it is. @throws BangerError */
  abstract resume(): Promise<void>;

  /** One control connection from its beginning to its end; false when there was none. */
  protected abstract converse(): Promise<boolean>;

  /** How the process ended, of which everything can be known by now. */
  protected abstract describe(): Promise<ProcessExit>;

  /** Lets go of the process, which runs on. */
  close(): void {
    this.stopped.abort(new BangerError("vmm_released", "the VMM is no longer followed", { retry: "later" }));
  }

  async #hold(): Promise<void> {
    const { clock } = this.hooks;
    const { signal } = this.stopped;
    let pauseMs = reconnect.firstMs;
    try {
      while (isAlive(this.identity)) {
        signal.throwIfAborted();
        if (await this.converse()) {
          pauseMs = reconnect.firstMs;
          await holdsWithin(clock, vanishMs, () => !isAlive(this.identity), signal);
        } else {
          await sleep(clock, pauseMs, signal);
          pauseMs = Math.min(pauseMs * 2, reconnect.maxMs);
        }
      }
      const exit = await this.describe();
      if (!signal.aborted) this.hooks.ended(exit);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }
}
