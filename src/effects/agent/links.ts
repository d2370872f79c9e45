/** The links to guest agents: connected in the background, kept while their VMM lives, asked what the guest listens on. */
import type { Duplex } from "node:stream";
import { orAborted, sleep } from "../../host/wait.js";
import type { Clock } from "../../lib/clock.js";
import { deadline } from "../../lib/deadline.js";
import { BangerError } from "../../lib/errors.js";
import type { Listener, ProcessIdentity, Seen, VmId } from "../../model/model.js";

/** What a link asks of a guest agent; each call ends when the signal is aborted. `AgentClient` is one. */
export interface GuestAgent {
  health(signal: AbortSignal): Promise<{ agent: string }>;
  /**
   * Tells the full list at once and again at each change, until the connection or the signal ends it; the next one
   * waits for the promise of the one before.
   */
  watchPorts(tell: (list: Listener[]) => Promise<void>, signal: AbortSignal): Promise<void>;
  shutdown(signal: AbortSignal): Promise<void>;
  /** The bytes of a TCP connection to a port of the guest's own loopback. */
  connect(to: { address: string; port: number }, signal: AbortSignal): Promise<Duplex>;
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
const unasked = { is: "unknown", cause: "the agent has not reported yet" } as const;

class AgentLink<C extends GuestAgent> {
  readonly identity: ProcessIdentity;
  client: C | undefined;
  /** Version of the agent while it answers. */
  version: string | undefined;
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

  /** From one answer to /healthz to the end of the watch over the guest's listeners. */
  async #attend(client: C, over: AbortSignal): Promise<void> {
    const late = () =>
      new BangerError("agent_timeout", "the agent did not answer /healthz", { retry: "later" });
    const bound = deadline(this.#clock, healthDeadlineMs, late, over);
    const { agent } = await orAborted(client.health(bound.signal), bound.signal).finally(bound.release);
    this.#show(client, agent);
    await orAborted(
      client.watchPorts((list) => {
        this.listeners = { is: "present", list };
        this.#changed();
        // A link that ends meanwhile ends the rest; the caller has not failed.
        return sleep(this.#clock, listenersMs, over).catch(() => {});
      }, over),
      over,
    );
  }

  #show(client: C | undefined, version: string | undefined): void {
    const different = this.version !== version;
    this.client = client;
    this.version = version;
    if (version === undefined) this.listeners = unasked;
    if (different) this.#changed();
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
  agent(id: VmId): Seen<{ answering: boolean; version: string }> {
    const link = this.#links.get(id);
    if (link === undefined) return { is: "absent" };
    return { is: "present", answering: link.version !== undefined, version: link.version ?? "" };
  }

  listeners(id: VmId): Seen<{ list: Listener[] }> {
    return this.#links.get(id)?.listeners ?? { is: "absent" };
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
