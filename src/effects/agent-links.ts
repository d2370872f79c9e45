/** The links to guest agents: connected in the background, kept while their VMM lives, asked what the guest listens on. */
import type { Duplex } from "node:stream";
import type { Clock } from "../clock.js";
import { BangerError } from "../errors.js";
import type { Listener, ObservedVm, ProcessIdentity, Seen, SeenGuest, VmId } from "../model.js";
import { orAborted, sleep } from "./wait.js";

/** What an agent tells of its guest. An agent of an earlier version tells its own version alone. */
export interface GuestHealth {
  agent: string;
  unixMs?: number;
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
/** A guest's clock may be off by so much. */
const clockOffMs = 1_000;
const unasked = { is: "unknown", cause: "the agent has not said yet" } as const;

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
    this.#stop.abort(new BangerError("agent_released", "the agent link was let go", { retry: "later" }));
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

  /** From the first word of its health to the end of what the agent tells of itself and of the guest's listeners. */
  async #attend(client: C, over: AbortSignal): Promise<void> {
    const attendance = new AbortController();
    const { signal } = attendance;
    const end = () => attendance.abort(over.reason);
    over.addEventListener("abort", end, { once: true });
    const late = this.#clock.after(healthDeadlineMs, () =>
      attendance.abort(
        new BangerError("agent_timeout", "the agent did not answer /healthz", { retry: "later" }),
      ),
    );
    try {
      // A link that ends meanwhile ends the rest, and is no failure of who told.
      const pace = () => sleep(this.#clock, listenersMs, signal).catch(() => {});
      await new Promise<void>((resolve, reject) => {
        const told = (health: GuestHealth) => {
          late.cancel();
          this.#show(client, health);
          resolve();
          return pace();
        };
        const stopped = (error: unknown) => {
          reject(error);
          // An agent of an earlier version tells its health once.
          if (this.guest !== undefined) attendance.abort(error);
        };
        orAborted(client.watchHealth(told, signal), signal).catch(stopped);
      });
      const listen = (list: Listener[]) => {
        this.listeners = { is: "present", list };
        this.#changed();
        return pace();
      };
      await orAborted(client.watchPorts(listen, signal), signal);
    } finally {
      late.cancel();
      over.removeEventListener("abort", end);
      attendance.abort();
    }
  }

  #show(client: C | undefined, health: GuestHealth | undefined): void {
    const guest =
      health?.init === undefined ? undefined : { init: health.init, behindMs: this.#behindMs(health) };
    const different = this.version !== health?.agent || this.guest?.init !== guest?.init;
    const late = guest !== undefined && guest.behindMs !== 0;
    this.client = client;
    this.version = health?.agent;
    this.guest = guest;
    if (health === undefined) this.listeners = unasked;
    if (different || late) this.#changed();
  }

  #behindMs({ unixMs }: GuestHealth): number {
    const ms = unixMs === undefined ? 0 : this.#clock.now() - unixMs;
    return Math.abs(ms) < clockOffMs ? 0 : Math.round(ms);
  }

  /**
   * Sets the guest's clock right where it is off by more than a second. How far it had been behind; 0 where it was not:
   * what is seen from afar includes the time that it took to get here.
   */
  async setClock(signal: AbortSignal): Promise<number> {
    const { client, guest } = this;
    if (client === undefined)
      throw new BangerError("agent_unreachable", "the guest's agent does not answer", { retry: "later" });
    const asked = this.#clock.now();
    const { unixMs } = await orAborted(client.health(signal), signal);
    const answered = this.#clock.now();
    const behindMs = unixMs === undefined ? 0 : Math.round((asked + answered) / 2 - unixMs);
    const off = Math.abs(behindMs) - (answered - asked) / 2 >= clockOffMs;
    if (off) await orAborted(client.addToClock(behindMs, signal), signal);
    if (guest !== undefined && this.guest === guest) this.guest = { ...guest, behindMs: 0 };
    return off ? behindMs : 0;
  }
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
