/** Network driver of system mode: a tap and NAT for each VM, and the bridge that they are on. */

import { sharedRun } from "../../host/shared-run.js";
import type { Clock } from "../../lib/clock.js";
import { deadline } from "../../lib/deadline.js";
import { BangerError, errorBody } from "../../lib/errors.js";
import type { Warn } from "../../lib/warn.js";
import type { VmId } from "../../model/model.js";
import type { HelperCalls } from "../helper/calls.js";

export interface BridgeDriver {
  ensureTap(id: VmId, address: string, signal: AbortSignal): Promise<void>;
  ensureNoTap(id: VmId, signal: AbortSignal): Promise<void>;
  ensureNat(id: VmId, address: string, signal: AbortSignal): Promise<void>;
  ensureNoNat(id: VmId, signal: AbortSignal): Promise<void>;
}

export interface BridgeOptions {
  helper: HelperCalls;
  clock: Clock;
  /** How many taps are kept ready for new VMs. */
  tapPoolSize: number;
  warn: Warn;
}

const tendMs = 10_000;
/** Between two tries to hint what no VM has asked for. */
const pauseMs = 10_000;

/** The bridge of one home, with the tap pool and the names that all its VMs share. */
export class Bridge implements BridgeDriver {
  readonly #options: BridgeOptions;
  readonly #closing = new AbortController();
  /** The last look saw it, and nobody has told otherwise since. */
  #there = false;
  /** Pool and names are as this daemon wants them. */
  #tended = false;
  #dnsPort: number | undefined;
  #notBefore = 0;

  constructor(options: BridgeOptions) {
    this.#options = options;
  }

  /** What a look saw; where the bridge is gone, or was never tended by this daemon, that is mended by and by. */
  note(there: boolean): void {
    this.#there = there;
    if (!there) this.#tended = false;
    if (!this.#tended && this.#options.clock.now() >= this.#notBefore) void this.#tend();
  }

  /** The host's resolver is to ask at this port of 127.0.0.1 for names of VMs. */
  serveNames(port: number): void {
    this.#dnsPort = port;
    this.#tended = false;
    void this.#tend();
  }

  async ensureTap(vmId: VmId, address: string, signal: AbortSignal): Promise<void> {
    await this.#ensureBridge(signal);
    await this.#options.helper.call("ensureTap", { vmId, address }, signal);
    // It may have been one of the pool.
    void this.#tend();
  }

  async ensureNoTap(vmId: VmId, signal: AbortSignal): Promise<void> {
    await this.#options.helper.call("ensureNoTap", { vmId }, signal);
  }

  async ensureNat(vmId: VmId, address: string, signal: AbortSignal): Promise<void> {
    await this.#ensureBridge(signal);
    await this.#options.helper.call("ensureNat", { vmId, address }, signal);
  }

  async ensureNoNat(vmId: VmId, signal: AbortSignal): Promise<void> {
    await this.#options.helper.call("ensureNoNat", { vmId }, signal);
  }

  /** Lets go; everything stays as it is. */
  async close(): Promise<void> {
    this.#closing.abort(new BangerError("daemon_stopping", "the daemon is stopping", { retry: "later" }));
    await this.#tend();
  }

  async #ensureBridge(signal: AbortSignal): Promise<void> {
    if (this.#there) return;
    await this.#options.helper.call("ensureBridge", {}, signal);
    this.#there = true;
  }

  /** Never rejects: VMs that need the bridge say themselves what is wrong with it. */
  readonly #tend = sharedRun(async () => {
    const { helper, clock, tapPoolSize, warn } = this.#options;
    if (this.#closing.signal.aborted) return;
    const late = () => new BangerError("deadline_exceeded", "the helper takes too long", { retry: "later" });
    const bound = deadline(clock, tendMs, late, this.#closing.signal);
    try {
      await this.#ensureBridge(bound.signal);
      await helper.call("ensureTapPool", { size: tapPoolSize }, bound.signal);
      if (this.#dnsPort !== undefined)
        await helper.call("ensureResolver", { port: this.#dnsPort }, bound.signal);
      this.#tended = true;
    } catch (thrown) {
      this.#notBefore = clock.now() + pauseMs;
      if (!this.#closing.signal.aborted) warn("the bridge is not maintained", { error: errorBody(thrown) });
    } finally {
      bound.release();
    }
  });
}
