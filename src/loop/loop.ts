/** The reconcile loop: a keyed queue of passes (observe → notice → reconcile → perform) with backoff. */

import { effectText } from "../core/effect-words.js";
import {
  deedFacts,
  failureFacts,
  holds,
  type Plan,
  planFor,
  servedBy,
  stillWanted,
  waitingFor,
} from "../core/plan.js";
import type { Clock, Timer } from "../lib/clock.js";
import { deadline } from "../lib/deadline.js";
import { BangerError, type ErrorBody, errorBody } from "../lib/errors.js";
import type { Ledger } from "../log/ledger.js";
import { hostStream, type NewEvent } from "../model/events.js";
import type { Effect, Observed } from "../model/model.js";
import { deadlinesMs } from "./deadlines.js";
import { Queue } from "./queue.js";
import { tell } from "./telling.js";
import { keepTriesOf, newTrack, type Track, triesOf } from "./tries.js";
import type { World } from "./world.js";

export interface LoopOptions {
  /** Passes at work at the same time. */
  concurrency: number;
  /** How often the whole host is compared with the whole state. */
  resyncIntervalMs: number;
  /** Is told each look, for people to read. */
  looked?: (observed: Observed) => void;
  /** How often an effect of one step may fail or change nothing before the step has failed. */
  attempts: number;
  warn: (message: string, details: object) => void;
}

const backoff = { firstMs: 200, maxMs: 30_000 };
/**
 * Passes that may follow one another at once: a delete takes four (process, what the kernel keeps for it, sockets,
 * directory) and a last look.
 */
const promptPasses = 5;

const unchanged = (effect: Effect): ErrorBody => ({
  code: "effect_without_effect",
  message: `${effectText(effect.kind)} succeeds, but the host does not show it`,
  hint: "banger doctor",
  retry: "later",
});

const unwanted = (effect: Effect): BangerError =>
  new BangerError("not_wanted", `${effect.kind} is not wanted any more`);

export class Loop {
  readonly #ledger: Ledger;
  readonly #world: World;
  readonly #clock: Clock;
  readonly #options: LoopOptions;
  readonly #keys: Queue;
  readonly #tracks = new Map<string, Track>();
  readonly #stopping = new AbortController();
  #resync: Timer | null = null;

  constructor(ledger: Ledger, world: World, clock: Clock, options: LoopOptions) {
    this.#ledger = ledger;
    this.#world = world;
    this.#clock = clock;
    this.#options = options;
    this.#keys = new Queue(options.concurrency, (stream) => this.#pass(stream));
    world.onWake((stream) => this.wake(stream));
    ledger.onCommit((events) => {
      for (const stream of new Set(events.map((each) => each.stream))) {
        // A failure that is told changes nothing of its own; waking for it would go round the backoff.
        if (events.some((each) => each.stream === stream && !each.type.endsWith(".effect_failed")))
          this.wake(stream);
        for (const waiting of waitingFor(ledger.state, stream)) this.wake(waiting);
      }
    });
  }

  /** Starts after replay and one full observation; from then on the loop keeps the host as it is wanted. */
  async start(): Promise<void> {
    const observed = await this.#look();
    // At once, so that whoever asks first sees the images that are there; no pass is under way yet.
    for (const id of observed.images.keys()) this.#learn(`image/${id}`, observed);
    this.#compare(observed);
    this.#scheduleResync();
  }

  /** Asks for a pass over one stream; a second wake during a pass means one more pass. */
  wake(stream: string): void {
    if (this.#stopping.signal.aborted || !/^(host$|vm\/|image\/)/.test(stream)) return;
    this.#keys.wake(stream);
  }

  /** One look at the host, then a pass for each stream that has something to do. Returns how many had. */
  async sweep(): Promise<number> {
    return this.#compare(await this.#look());
  }

  #compare(observed: Observed): number {
    let busy = 0;
    for (const stream of this.#streams(observed)) {
      const plan = this.#plan(stream, observed);
      if (plan === undefined) continue;
      if (plan.deadlineAt !== null) {
        this.#trackOf(stream, plan.position);
        this.#wakeAt(stream, plan.deadlineAt);
      }
      if (plan.facts.length + plan.effects.length === 0) continue;
      busy += 1;
      this.wake(stream);
    }
    for (const stream of this.#tracks.keys()) {
      if (this.#plan(stream, observed) === undefined) this.#tracks.delete(stream);
    }
    return busy;
  }

  /** Ends the passes: effects under way are aborted and waited for; VMs are left as they are. */
  async stop(): Promise<void> {
    this.#stopping.abort(new BangerError("daemon_stopping", "the daemon is stopping", { retry: "later" }));
    this.#resync?.cancel();
    for (const track of this.#tracks.values()) track.timer?.cancel();
    await this.#keys.drain();
  }

  async #look(): Promise<Observed> {
    const observed = await this.#world.observe();
    this.#options.looked?.(observed);
    return observed;
  }

  *#streams(observed: Observed): IterableIterator<string> {
    const { vms, images } = this.#ledger.state;
    yield hostStream;
    for (const id of Object.keys(vms)) yield `vm/${id}`;
    for (const id of new Set([...Object.keys(images), ...observed.images.keys()])) yield `image/${id}`;
  }

  #scheduleResync(): void {
    this.#resync = this.#clock.after(this.#options.resyncIntervalMs, () => {
      this.sweep()
        .catch((thrown: unknown) => this.#options.warn("resync failed", { error: errorBody(thrown) }))
        .finally(() => {
          if (!this.#stopping.signal.aborted) this.#scheduleResync();
        });
    });
  }

  #plan(stream: string, observed: Observed): Plan | undefined {
    const adopted = this.#tracks.get(stream)?.adopted ?? false;
    const { state } = this.#ledger;
    return planFor(state, stream, observed, this.#world.capabilities, this.#clock.now(), adopted);
  }

  async #pass(stream: string): Promise<void> {
    try {
      const plan = this.#learn(stream, await this.#look());
      if (plan === undefined || this.#stopping.signal.aborted) return;
      await this.#carryOut(stream, plan);
    } catch (thrown) {
      if (this.#stopping.signal.aborted) return;
      this.#options.warn("a pass failed", { stream, error: errorBody(thrown) });
      this.#wakeAt(stream, this.#clock.now() + backoff.maxMs);
    }
  }

  async #carryOut(stream: string, plan: Plan): Promise<void> {
    const track = this.#trackOf(stream, plan.position);
    track.timer?.cancel();
    if (plan.effects.length === 0) {
      track.passes = 0;
      track.tries.clear();
      if (plan.deadlineAt !== null) this.#wakeAt(stream, plan.deadlineAt);
      return;
    }
    keepTriesOf(track, plan.effects);
    let failed = false;
    let waitsUntil = Number.POSITIVE_INFINITY;
    for (const effect of plan.effects) {
      const tries = triesOf(track, effect);
      const waitMs = tries.notBefore - this.#clock.now();
      // A clock that was set back makes no longer waits.
      if (waitMs > 0 && waitMs <= backoff.maxMs) {
        waitsUntil = Math.min(waitsUntil, tries.notBefore);
        continue;
      }
      // Only the look after the last try shows whether that one was in vain.
      if (tries.done && tries.count >= this.#options.attempts)
        this.#tellFailure(stream, track, effect, unchanged(effect));
      // What comes next does not concern a plan for a phase or step that is over.
      if (!holds(plan, this.#ledger.state, stream)) return this.wake(stream);
      tries.count += 1;
      const failure = await this.#perform(effect);
      if (this.#stopping.signal.aborted) return;
      tries.done = failure === undefined;
      if (failure === undefined) {
        this.#commit(deedFacts(effect));
        for (const served of servedBy(this.#ledger.state, effect)) this.wake(served);
        continue;
      }
      failed = true;
      tries.notBefore = this.#clock.now() + this.#backoffMs(tries.count);
      waitsUntil = Math.min(waitsUntil, tries.notBefore);
      this.#tellFailure(stream, track, effect, failure);
    }
    track.passes += 1;
    const now = this.#clock.now();
    const prompt = !failed && track.passes < promptPasses ? now : now + this.#backoffMs(track.passes);
    const next = waitsUntil === Number.POSITIVE_INFINITY ? prompt : waitsUntil;
    this.#wakeAt(stream, Math.min(next, plan.deadlineAt ?? next));
  }

  /** Appends what the observation tells until it tells nothing new, then plans from the state that results. */
  #learn(stream: string, observed: Observed): Plan | undefined {
    for (;;) {
      const plan = this.#plan(stream, observed);
      if (plan === undefined || plan.facts.length === 0) return plan;
      this.#commit(plan.facts);
      if (plan.facts.some(({ type }) => type === "vm.adopted" || type === "vm.process_started")) {
        this.#trackOf(stream, plan.position).adopted = true;
      }
    }
  }

  #trackOf(stream: string, position: string): Track {
    const track = this.#tracks.get(stream) ?? newTrack(position);
    if (track.position !== position) Object.assign(track, { position, passes: 0, tries: new Map() });
    this.#tracks.set(stream, track);
    return track;
  }

  async #perform(effect: Effect): Promise<ErrorBody | undefined> {
    const ms = deadlinesMs[effect.kind];
    const late = () =>
      new BangerError("deadline_exceeded", `${effectText(effect.kind)} took longer than ${ms / 1000} s`, {
        retry: "later",
      });
    const bound = deadline(this.#clock, ms, late, this.#stopping.signal);
    const { signal } = bound;
    const expired = new Promise<never>((_resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
    const release = this.#ledger.onCommit(() => {
      if (!stillWanted(this.#ledger.state, effect)) bound.abort(unwanted(effect));
    });
    try {
      const note = (fact: NewEvent) => this.#commit([fact]);
      await Promise.race([this.#world.perform(effect, { signal, note }), expired]);
      return undefined;
    } catch (thrown) {
      return errorBody(thrown);
    } finally {
      release();
      bound.release();
    }
  }

  #tellFailure(stream: string, track: Track, effect: Effect, failure: ErrorBody): void {
    const { count: attempt } = triesOf(track, effect);
    const final = failure.retry === "never" || attempt >= this.#options.attempts;
    const before = track.told.get(effect.kind);
    const { told, say } = tell(before, failure.message, this.#clock.now());
    track.told.set(effect.kind, told);
    const untold = before?.untold ?? 0;
    const facts = failureFacts(this.#ledger.state, effect, failure, { final, say, untold });
    this.#commit(facts);
    if (say || facts.length > 0)
      this.#options.warn(`${effect.kind} failed`, { stream, attempt, untold, error: failure });
  }

  #backoffMs(attempt: number): number {
    const ceiling = Math.min(backoff.maxMs, backoff.firstMs * 2 ** Math.min(attempt, 20));
    return Math.round(ceiling / 2 + (this.#clock.random() * ceiling) / 2);
  }

  #wakeAt(stream: string, at: number): void {
    const track = this.#tracks.get(stream);
    if (track === undefined || this.#stopping.signal.aborted) return;
    track.timer?.cancel();
    track.timer = this.#clock.after(Math.max(0, at - this.#clock.now()), () => this.wake(stream));
  }

  #commit(facts: readonly NewEvent[]): void {
    const { lastSeqs, seq } = this.#ledger.state;
    const [first] = facts;
    if (first !== undefined) this.#ledger.commit(facts, `event:${lastSeqs[first.stream] ?? seq}`);
  }
}
