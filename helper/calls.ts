/** Runs the calls: those about one VM in the order of their arrival, others side by side, all within their deadlines. */
import type { Clock } from "../src/lib/clock.js";
import { deadline } from "../src/lib/deadline.js";
import type { MethodName, Request } from "./contract.js";
import { deadlinesMs, limits } from "./limits.js";
import type { Metadata } from "./metadata.js";
import type { HelperContext, Method, MethodTable } from "./method.js";
import { HostFailure } from "./refusal.js";
import { toolRunner, toolsOf } from "./tools.js";

export class Calls {
  readonly #lanes = new Map<string, Promise<void>>();
  readonly #turns = new Turns(limits.callsAtWork);
  #stopping = false;

  constructor(
    private readonly table: MethodTable,
    private readonly metadata: Metadata,
    private readonly clock: Clock,
  ) {}

  /**
   * Resolves with the method's result. A call that `wanted` says nobody waits for any more is not begun: after a crash
   * of the daemon, what the old one had asked for must not come after what the new one does.
   * @throws whatever the method throws; HostFailure `helper_late`, `helper_stopping`
   */
  perform(request: Request, wanted: () => boolean): Promise<unknown> {
    const ms = deadlinesMs[request.method];
    const late = () => new HostFailure("helper_late", `${request.method} took more than ${ms} ms`);
    const bound = deadline(this.clock, ms, late);
    const begin = () => this.#turns.take(() => this.#begin(request, wanted, bound.signal));
    const lane = laneOf(request);
    const work = lane === undefined ? begin() : this.#inLane(lane, begin);
    return this.#inTime(work, bound.signal).finally(() => bound.release());
  }

  /** Begins nothing more: what still waits for its turn fails when it comes. */
  stop(): void {
    this.#stopping = true;
  }

  async #begin(request: Request, wanted: () => boolean, signal: AbortSignal): Promise<unknown> {
    signal.throwIfAborted();
    if (this.#stopping || !wanted()) throw new HostFailure("helper_stopping", "the call was not started");
    const run = toolRunner(this.clock, signal, toolsOf(this.metadata));
    const context: HelperContext = { metadata: this.metadata, run, signal };
    const method = this.table[request.method] as Method<MethodName>;
    return method(request.params, context);
  }

  #inLane<T>(lane: string, begin: () => Promise<T>): Promise<T> {
    const work = (this.#lanes.get(lane) ?? Promise.resolve()).then(begin);
    const ended: Promise<void> = work.then(
      () => this.#leave(lane, ended),
      () => this.#leave(lane, ended),
    );
    this.#lanes.set(lane, ended);
    return work;
  }

  #leave(lane: string, last: Promise<void>): void {
    if (this.#lanes.get(lane) === last) this.#lanes.delete(lane);
  }

  /** Answers the caller when time is up, though the call keeps its lane and its turn until it has really ended. */
  #inTime<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      const giveUp = () => this.clock.after(limits.graceMs, () => reject(signal.reason));
      signal.addEventListener("abort", giveUp, { once: true });
      work.then(resolve, reject).finally(() => signal.removeEventListener("abort", giveUp));
    });
  }
}

const readOnly: ReadonlySet<MethodName> = new Set(["about", "look"]);

/** What changes the host but is about no VM is about the one network that they share. */
function laneOf({ method, params }: Request): string | undefined {
  if ("vmId" in params) return params.vmId;
  return readOnly.has(method) ? undefined : "network";
}

/** At most so many at a time, the others in the order of their arrival. */
class Turns {
  readonly #waiting: (() => void)[] = [];

  constructor(private free: number) {}

  async take<T>(act: () => Promise<T>): Promise<T> {
    if (this.free > 0) this.free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await act();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.free++;
      else next();
    }
  }
}
