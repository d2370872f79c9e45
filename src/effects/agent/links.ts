/** The links to guest agents: connected in the background, kept while their VMM lives, asked what the guest listens on. */
import type { Duplex } from "node:stream";
import { orAborted, sleep } from "../../host/wait.js";
import type { Clock } from "../../lib/clock.js";
import { deadline } from "../../lib/deadline.js";
import { BangerError } from "../../lib/errors.js";
import type { Listener, ObservedVm, ProcessIdentity, Seen, SeenGuest, VmId } from "../../model/model.js";

/** What an agent tells of its guest. An agent of an earlier version knows nothing of init and clock. */
export interface GuestHealth {
  agent: string;
  uptimeMs: number;
  unixMs?: number;
  /** Somebody in the guest has set its clock, and keeps it. */
  ownClock?: boolean;
  init?: SeenGuest["init"];
}

/** What a link asks of a guest agent; each call ends when the signal is aborted. `AgentClient` is one. */
export interface GuestAgent {
  health(signal: AbortSignal): Promise<GuestHealth>;
  /** Tells how the guest is, at once, at each change and time and again; paced as `watchPorts`. */
  watchHealth(tell: (health: GuestHealth) => Promise<void>, signal: AbortSignal): Promise<void>;
  /**
   * Tells the full list at once and again at each change, until the connection or the signal ends it; the next one
   * waits for the promise of the one before.
   */
  watchPorts(tell: (list: Listener[]) => Promise<void>, signal: AbortSignal): Promise<void>;
  shutdown(signal: AbortSignal): Promise<void>;
  /** The bytes of a TCP connection to a port of the guest's own loopback. */
  connect(to: { address: string; port: number }, signal: AbortSignal): Promise<Duplex>;
  addToClock(ms: number, signal: AbortSignal): Promise<void>;
  /** Runs a command without input; its exit status, 128 and more for a signal. @throws BangerError `exec_*` */
  run(argv: string[], signal: AbortSignal): Promise<number>;
}

/** One connection to an agent that has answered; `closed` resolves when it has ended, for whatever reason. */
export interface Session<C extends GuestAgent> {
  client: C;
  closed: Promise<void>;
  close(): void;
}

/** Connects and waits, however long the guest takes, until an agent answers or the signal is aborted. */
export type Dial<C extends GuestAgent> = (id: VmId, signal: AbortSignal) => Promise<Session<C>>;

/** A guest is listened to at this pace: each change of what it listens on is a look at the whole host. */
const listenersMs = 250;

const retry = { firstMs: 50, maxMs: 2_000 };
const healthDeadlineMs = 5_000;
/** A guest's clock may be off by so much; a guest that just came up has the time of a clock that counts whole seconds. */
const clockOff = { freshMs: 2_000, ms: 1_000, freshUntilMs: 60_000 };
/** A clock whose answer took longer to get here is asked again, so often. */
const clockAsking = { roundTripMs: 500, times: 3 };
const unasked = { is: "unknown", cause: "the agent has not reported yet" } as const;

class AgentLink<C extends GuestAgent> {
  readonly identity: ProcessIdentity;
  client: C | undefined;
  /** Version of the agent while it answers. */
  version: string | undefined;
  /** What that agent last told of its guest. */
  guest: SeenGuest | undefined;
  listeners: Seen<{ list: Listener[] }> = unasked;
  readonly #stop = new AbortController();
  readonly #clock: Clock;
  readonly #changed: () => void;

  constructor(id: VmId, identity: ProcessIdentity, dial: Dial<C>, clock: Clock, changed: () => void) {
    this.identity = identity;
    this.#clock = clock;
    this.#changed = changed;
    void this.#hold(() => dial(id, this.#stop.signal));
  }

  close(): void {
    this.#stop.abort(new BangerError("agent_released", "the agent link was released", { retry: "later" }));
  }

  async #hold(dial: () => Promise<Session<C>>): Promise<void> {
    const { signal } = this.#stop;
    let pauseMs = retry.firstMs;
    while (!signal.aborted) {
      try {
        const session = await dial();
        const since = this.#clock.now();
        await this.#converse(session);
        // A guest whose links end as soon as they are made is asked as rarely as one that has none.
        pauseMs =
          this.#clock.now() - since < retry.maxMs ? Math.min(pauseMs * 2, retry.maxMs) : retry.firstMs;
      } catch {
        pauseMs = Math.min(pauseMs * 2, retry.maxMs);
      }
      await sleep(this.#clock, pauseMs, signal).catch(() => {});
    }
  }

  /** One session to its end. A guest that is slow to answer keeps its session: a new one would end its commands. */
  async #converse(session: Session<C>): Promise<void> {
    const over = new AbortController();
    const end = () =>
      over.abort(new BangerError("agent_closed", "the agent link has ended", { retry: "later" }));
    void session.closed.then(end);
    this.#stop.signal.addEventListener("abort", end, { once: true });
    try {
      while (!over.signal.aborted) {
        await this.#attend(session.client, over.signal).catch(() => {});
        this.#show(undefined, undefined);
        await sleep(this.#clock, retry.maxMs, over.signal).catch(() => {});
      }
    } finally {
      this.#stop.signal.removeEventListener("abort", end);
      session.close();
    }
  }

  /** From one answer to /healthz to the end of what the agent tells of itself, or of the guest's listeners. */
  async #attend(client: C, over: AbortSignal): Promise<void> {
    const late = () =>
      new BangerError("agent_timeout", "the agent did not answer /healthz", { retry: "later" });
    const bound = deadline(this.#clock, healthDeadlineMs, late, over);
    const first = await orAborted(client.health(bound.signal), bound.signal).finally(bound.release);
    this.#show(client, first);
    const attendance = new AbortController();
    const { signal } = attendance;
    const end = () => attendance.abort(over.reason);
    over.addEventListener("abort", end, { once: true });
    // A link that ends meanwhile ends the rest, and is not the caller's failure.
    const pace = () => sleep(this.#clock, listenersMs, signal).catch(() => {});
    const told = (health: GuestHealth) => {
      this.#show(client, health);
      return pace();
    };
    const listen = (list: Listener[]) => {
      this.listeners = { is: "present", list };
      this.#changed();
      return pace();
    };
    const watches = [orAborted(client.watchPorts(listen, signal), signal)];
    if (first.init !== undefined) watches.push(orAborted(client.watchHealth(told, signal), signal));
    try {
      await Promise.race(watches);
    } finally {
      over.removeEventListener("abort", end);
      attendance.abort(new BangerError("agent_closed", "the agent stopped reporting", { retry: "later" }));
      await Promise.allSettled(watches);
    }
  }

  #show(client: C | undefined, health: GuestHealth | undefined): void {
    const guest = seenGuest(health, this.#clock.now());
    const different = this.version !== health?.agent || this.guest?.init !== guest?.init;
    const off = guest !== undefined && guest.behindMs !== 0;
    this.client = client;
    this.version = health?.agent;
    this.guest = guest;
    if (health === undefined) this.listeners = unasked;
    if (different || off) this.#changed();
  }

  /**
   * Sets the guest's clock right where it is off: what was seen from afar includes the time that it took to get here,
   * so it is measured anew. How far it had been behind; 0 where it was not.
   */
  async setClock(signal: AbortSignal): Promise<number> {
    const { client } = this;
    if (client === undefined)
      throw new BangerError("agent_unreachable", "the guest's agent does not answer", { retry: "later" });
    const { behindMs, roundTripMs, health } = await this.#measureClock(client, signal);
    const off = isOff(Math.max(0, Math.abs(behindMs) - roundTripMs / 2), health);
    if (off) await orAborted(client.addToClock(behindMs, signal), signal);
    if (this.guest !== undefined) this.guest = { ...this.guest, behindMs: 0 };
    return off ? behindMs : 0;
  }

  /** The answer that took the least time says most. */
  async #measureClock(client: C, signal: AbortSignal): Promise<ClockReading> {
    let best: ClockReading | undefined;
    for (let asked = 0; asked < clockAsking.times; asked++) {
      const before = this.#clock.now();
      const health = await orAborted(client.health(signal), signal);
      const after = this.#clock.now();
      const behindMs = Math.round((before + after) / 2 - (health.unixMs ?? before));
      const reading = { health, behindMs, roundTripMs: after - before };
      if (best === undefined || reading.roundTripMs < best.roundTripMs) best = reading;
      if (best.roundTripMs <= clockAsking.roundTripMs) break;
    }
    return best as ClockReading;
  }
}

interface ClockReading {
  health: GuestHealth;
  behindMs: number;
  roundTripMs: number;
}

/** What somebody in the guest has set is left alone, as is a clock that is nearly right. */
function isOff(ms: number, { ownClock, uptimeMs, unixMs }: GuestHealth): boolean {
  const limitMs = uptimeMs < clockOff.freshUntilMs ? clockOff.freshMs : clockOff.ms;
  return unixMs !== undefined && ownClock !== true && ms >= limitMs;
}

function seenGuest(health: GuestHealth | undefined, now: number): SeenGuest | undefined {
  if (health?.init === undefined) return undefined;
  const behindMs = Math.round(now - (health.unixMs ?? now));
  return { init: health.init, behindMs: isOff(Math.abs(behindMs), health) ? behindMs : 0 };
}

export class AgentLinks<C extends GuestAgent> {
  readonly #links = new Map<VmId, AgentLink<C>>();
  readonly #dial: Dial<C>;
  readonly #clock: Clock;
  readonly #changed: (id: VmId) => void;

  /** `changed` is told the VM of which something looks different now. */
  constructor(dial: Dial<C>, clock: Clock, changed: (id: VmId) => void) {
    this.#dial = dial;
    this.#clock = clock;
    this.#changed = changed;
  }

  /** Keeps a link to the agent in this very process's guest; returns at once. */
  ensure(id: VmId, identity: ProcessIdentity): void {
    const known = this.#links.get(id);
    if (known?.identity.pid === identity.pid && known.identity.startTime === identity.startTime) return;
    known?.close();
    this.#links.set(id, new AgentLink(id, identity, this.#dial, this.#clock, () => this.#changed(id)));
  }

  drop(id: VmId): void {
    this.#links.get(id)?.close();
    this.#links.delete(id);
  }

  /** A link is present from the moment it is wanted, answering or not. */
  agent(id: VmId): ObservedVm["agent"] {
    const link = this.#links.get(id);
    if (link === undefined) return { is: "absent" };
    return {
      is: "present",
      answering: link.version !== undefined,
      version: link.version ?? "",
      ...link.guest,
    };
  }

  listeners(id: VmId): Seen<{ list: Listener[] }> {
    return this.#links.get(id)?.listeners ?? { is: "absent" };
  }

  /** As `AgentLink.setClock`. @throws BangerError `agent_unreachable` */
  async setClock(id: VmId, signal: AbortSignal): Promise<number> {
    const link = this.#links.get(id);
    if (link !== undefined) return link.setClock(signal);
    throw new BangerError("agent_unreachable", "the guest has no agent link", { retry: "later" });
  }

  /** The client of an agent that answers, or undefined. */
  clientOf(id: VmId): C | undefined {
    return this.#links.get(id)?.client;
  }

  close(): void {
    for (const link of this.#links.values()) link.close();
    this.#links.clear();
  }
}
