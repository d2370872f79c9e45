/** The network processes of one home's VMs: each is followed as long as it lives, and what it last said is kept. */
import { type Home, vmHandles } from "../../home/handles.js";
import { isAlive } from "../../host/processes.js";
import { sharedRun } from "../../host/shared-run.js";
import { holdsWithin, sleep } from "../../host/wait.js";
import type { Clock } from "../../lib/clock.js";
import { BangerError } from "../../lib/errors.js";
import type { Forward, ObservedVm, ProcessIdentity, VmId } from "../../model/model.js";
import type { FoundNetwork } from "../vmm/processes.js";
import { connectNet, type NetClient } from "./control-client.js";

/** An answer about policy and forwards is asked for again after this time. */
const freshMs = 10_000;
const vanishMs = 2_000;
const reconnect = { firstMs: 5, maxMs: 500 };

interface Said {
  /** `KEY.RESOLVERS`, or "none". */
  digest: string;
  forwards: Forward[];
}

type Seen = Pick<ObservedVm, "network" | "policy" | "forwards">;

const unknown = (cause: string) => ({ is: "unknown", cause }) as const;

const forwardOf = (line: string): Forward[] => {
  const [word, , hostPort, guestPort] = line.split(" ");
  return word === "forward" ? [{ hostPort: Number(hostPort), guestPort: Number(guestPort) }] : [];
};

export class NetworkControl {
  readonly identity: ProcessIdentity;
  readonly #stopped = new AbortController();
  readonly #path: string;
  readonly #clock: Clock;
  readonly #changed: () => void;
  #client: NetClient | undefined;
  #waiting: ((client: NetClient) => void)[] = [];
  #said: Said | undefined;
  #askedAt = 0;
  /** It was asked, and did not answer: it is of no use any more. */
  #hung = false;

  constructor(
    path: string,
    identity: ProcessIdentity,
    { clock, changed, ended }: { clock: Clock; changed: () => void; ended: () => void },
  ) {
    this.identity = identity;
    this.#path = path;
    this.#clock = clock;
    this.#changed = changed;
    void this.#hold().then(ended, () => {});
  }

  /** The connection, once there is one. @throws BangerError `network_silent` */
  async client(deadlineMs: number): Promise<NetClient> {
    if (this.#client !== undefined) return this.#client;
    return new Promise((resolve, reject) => {
      const timer = this.#clock.after(deadlineMs, () => {
        this.#waiting = this.#waiting.filter((waiter) => waiter !== take);
        const message = `the network process gives no control connection at ${this.#path}`;
        reject(new BangerError("network_silent", message, { retry: "later" }));
      });
      const take = (client: NetClient) => {
        timer.cancel();
        resolve(client);
      };
      this.#waiting.push(take);
    });
  }

  /** What it said last, which is asked again in the background when that was long ago. */
  seen(resolvers: string): Seen {
    if (this.#client !== undefined && this.#clock.now() - this.#askedAt >= freshMs) void this.refresh();
    if (this.#hung) {
      const cause = unknown("the network process does not answer");
      return { network: { is: "present", whole: false }, policy: cause, forwards: cause };
    }
    if (this.#said === undefined) {
      const cause = unknown("the network process has not answered yet");
      return { network: cause, policy: cause, forwards: cause };
    }
    const { digest, forwards } = this.#said;
    const [key = "", of] = digest.split(".");
    return {
      network: { is: "present", whole: true },
      policy: key === "none" ? { is: "absent" } : { is: "present", key, fresh: of === resolvers },
      forwards: { is: "present", list: forwards },
    };
  }

  /** Asks it now; never rejects, since an error is what is then seen. */
  readonly refresh = sharedRun(async () => {
    this.#askedAt = this.#clock.now();
    const client = this.#client;
    if (client === undefined) return;
    const before = JSON.stringify([this.#said, this.#hung]);
    try {
      const [status, forwards] = await Promise.all([client.request("status"), client.request("forwards")]);
      const digest = status.lines.find((line) => line.startsWith("policy "))?.slice("policy ".length);
      this.#said = { digest: digest ?? "none", forwards: forwards.lines.flatMap(forwardOf) };
      this.#hung = false;
    } catch {
      this.#hung = isAlive(this.identity);
    }
    if (JSON.stringify([this.#said, this.#hung]) !== before) this.#changed();
  });

  /** Lets go of the process, which runs on. */
  close(): void {
    this.#stopped.abort(new BangerError("network_silent", "the daemon is stopping", { retry: "later" }));
    this.#client?.close();
  }

  async #hold(): Promise<void> {
    const { signal } = this.#stopped;
    for (let pauseMs = reconnect.firstMs; isAlive(this.identity); ) {
      signal.throwIfAborted();
      try {
        this.#client = await connectNet(this.#path, this.#clock);
      } catch {
        await sleep(this.#clock, pauseMs, signal);
        pauseMs = Math.min(pauseMs * 2, reconnect.maxMs);
        continue;
      }
      pauseMs = reconnect.firstMs;
      for (const take of this.#waiting.splice(0)) take(this.#client);
      void this.refresh();
      await this.#client.closed;
      this.#client = undefined;
      await holdsWithin(this.#clock, vanishMs, () => !isAlive(this.identity), signal);
    }
    signal.throwIfAborted();
  }
}

const same = (a: ProcessIdentity, b: ProcessIdentity): boolean =>
  a.pid === b.pid && a.startTime === b.startTime;

export class NetworkControls {
  readonly #controls = new Map<VmId, NetworkControl>();
  readonly #home: Home;
  readonly #clock: Clock;
  readonly #changed: (id: VmId) => void;
  #closed = false;

  /** `changed` is told the VM of which something looks different now. */
  constructor(home: Home, clock: Clock, changed: (id: VmId) => void) {
    this.#home = home;
    this.#clock = clock;
    this.#changed = changed;
  }

  /** Takes up the processes that a scan found. */
  follow(networks: ReadonlyMap<VmId, FoundNetwork>): void {
    if (this.#closed) return;
    for (const [id, found] of networks) this.hold(id, found);
  }

  /** The control of this very process of the VM. */
  hold(id: VmId, { pid, startTime }: ProcessIdentity): NetworkControl {
    const known = this.#controls.get(id);
    if (known !== undefined && same(known.identity, { pid, startTime })) return known;
    known?.close();
    const control = new NetworkControl(
      vmHandles(this.#home, id).netControlSocket,
      { pid, startTime },
      {
        clock: this.#clock,
        changed: () => this.#changed(id),
        ended: () => {
          if (this.#controls.get(id) !== control) return;
          this.#controls.delete(id);
          this.#changed(id);
        },
      },
    );
    this.#controls.set(id, control);
    return control;
  }

  get(id: VmId): NetworkControl | undefined {
    return this.#controls.get(id);
  }

  /** The VM's. @throws BangerError `network_silent` */
  require(id: VmId): NetworkControl {
    const control = this.#controls.get(id);
    if (control !== undefined) return control;
    throw new BangerError("network_silent", "the VM has no network process", { retry: "later" });
  }

  identities(): ProcessIdentity[] {
    return [...this.#controls.values()].map(({ identity }) => identity);
  }

  close(): void {
    this.#closed = true;
    for (const control of this.#controls.values()) control.close();
    this.#controls.clear();
  }
}
