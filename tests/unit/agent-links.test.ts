/** Links to guest agents: kept up in the background, told truly, never reset without need. */
import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { beforeEach, describe, test } from "node:test";
import {
  AgentLinks,
  type GuestAgent,
  type GuestHealth,
  type Session,
} from "../../src/effects/agent/links.js";
import type { Listener } from "../../src/model/model.js";
import { ManualClock } from "../manual-clock.js";

const id = "0123abcd";
const process1 = { pid: 10, startTime: "1" };
const sshd: Listener = {
  proto: "tcp",
  address: "0.0.0.0",
  port: 22,
  pid: 1,
  process: "sshd",
  command: "sshd -D",
};

/** A guest that the test plays. */
class Guest {
  dials = 0;
  up = true;
  healthy = true;
  tell: (list: Listener[]) => Promise<void> = async () => {};
  tellHealth: (health: GuestHealth) => Promise<void> = async () => {};
  hangUp: () => void = () => {};
  endHealth: () => void = () => {};
  init: "starting" | "up" | "unsaid" = "up";
  /** How far its clock is ahead of the host's. */
  aheadMs = 0;
  ownClock = false;
  uptimeMs = 3_600_000;
  /** How long each answer takes, one after the other; then none. */
  readonly slowMs: number[] = [];
  set: number[] = [];
  closed = false;

  constructor(readonly clock: ManualClock) {}

  health(): GuestHealth {
    const { aheadMs, uptimeMs, ownClock, init } = this;
    return { agent: "1.2", unixMs: this.clock.now() + aheadMs, ...{ uptimeMs, ownClock, init } };
  }

  /** What was told is long on its way back. */
  async asked(): Promise<GuestHealth> {
    const health = this.health();
    const ms = this.slowMs.shift();
    // The clock is moved from within: nobody else waits for it here.
    if (ms !== undefined) await this.clock.advance(ms);
    return health;
  }

  dial = async (_id: string, signal: AbortSignal): Promise<Session<GuestAgent>> => {
    this.dials += 1;
    signal.throwIfAborted();
    if (!this.up) throw new Error("connection refused");
    const closed = new Promise<void>((resolve) => {
      this.hangUp = resolve;
    });
    const never = new Promise<never>(() => {});
    const client: GuestAgent = {
      connect: async () => new PassThrough(),
      health: () => (this.healthy ? this.asked() : never),
      watchHealth: (tell) => {
        this.tellHealth = tell;
        return new Promise((resolve, reject) => {
          this.endHealth = () => reject(new Error("no more"));
          void closed.then(resolve);
        });
      },
      addToClock: async (ms) => {
        this.set.push(ms);
        this.aheadMs += ms;
      },
      watchPorts: (tell) => {
        this.tell = tell;
        return closed;
      },
      shutdown: async () => {},
      run: async () => 0,
    };
    return { client, closed, close: () => void (this.closed = true) };
  };
}

describe("AgentLinks", () => {
  let clock: ManualClock;
  let guest: Guest;
  let links: AgentLinks<GuestAgent>;
  let wakes: string[];
  beforeEach(() => {
    clock = new ManualClock();
    guest = new Guest(clock);
    wakes = [];
    links = new AgentLinks(guest.dial, clock, (vmId) => wakes.push(vmId));
  });
  const answering = () => {
    const agent = links.agent(id);
    return agent.is === "present" && agent.answering;
  };

  test("a link that nobody wants is absent", () => {
    assert.deepEqual(links.agent(id), { is: "absent" });
    assert.equal(links.clientOf(id), undefined);
  });

  test("it dials until the guest is up, then tells its version and its listeners", async () => {
    guest.up = false;
    links.ensure(id, process1);
    await clock.advance(10_000);
    assert.ok(guest.dials > 3 && guest.dials < 20, `${guest.dials} dials in 10 s`);
    assert.deepEqual([answering(), wakes], [false, []]);
    guest.up = true;
    await clock.advance(2_000);
    assert.deepEqual(links.agent(id), {
      is: "present",
      answering: true,
      version: "1.2",
      init: "up",
      behindMs: 0,
    });
    assert.deepEqual(wakes, [id]);
    assert.equal(links.listeners(id).is, "unknown");
    guest.tell([sshd]).catch(() => {});
    assert.deepEqual(links.listeners(id), { is: "present", list: [sshd] });
    assert.deepEqual(wakes, [id, id]);
    assert.notEqual(links.clientOf(id), undefined);
  });

  test("a connection that ends is told at once and made again", async () => {
    links.ensure(id, process1);
    await clock.settle();
    guest.tell([sshd]).catch(() => {});
    guest.hangUp();
    await clock.settle();
    assert.equal(answering(), false);
    assert.equal(links.clientOf(id), undefined);
    assert.equal(links.listeners(id).is, "unknown");
    await clock.advance(2_500);
    assert.deepEqual([answering(), guest.dials], [true, 2]);
  });

  test("a guest that hangs up as soon as it has answered is asked ever more rarely", async () => {
    links.ensure(id, process1);
    for (let second = 0; second < 60; second += 0.1) {
      await clock.advance(100);
      guest.hangUp();
    }
    assert.ok(guest.dials > 20 && guest.dials < 60, `${guest.dials} dials in a minute`);
    await clock.advance(10_000);
    guest.hangUp();
    const before = guest.dials;
    await clock.advance(200);
    assert.equal(guest.dials, before + 1);
  });

  test("a guest too busy to answer keeps its connection, and with it its commands", async () => {
    guest.healthy = false;
    links.ensure(id, process1);
    await clock.advance(20_000);
    assert.equal(answering(), false);
    guest.healthy = true;
    await clock.advance(10_000);
    assert.deepEqual([answering(), guest.dials, guest.closed], [true, 1, false]);
  });

  test("the link of one process is not that of the next", async () => {
    links.ensure(id, process1);
    links.ensure(id, { ...process1 });
    await clock.settle();
    assert.equal(guest.dials, 1);
    guest.healthy = false;
    links.ensure(id, { pid: 10, startTime: "2" });
    await clock.settle();
    assert.deepEqual([guest.dials, answering()], [2, false]);
  });

  test("a dropped link is closed and stays closed", async () => {
    links.ensure(id, process1);
    await clock.settle();
    links.drop(id);
    await clock.advance(10_000);
    assert.deepEqual([guest.closed, guest.dials, links.agent(id).is], [true, 1, "absent"]);
  });

  test("that the guest's init has come up is told when it says so", async () => {
    guest.init = "starting";
    links.ensure(id, process1);
    await clock.settle();
    const init = () => (links.agent(id) as { init?: string }).init;
    assert.equal(init(), "starting");
    wakes.length = 0;
    guest.init = "up";
    guest.tellHealth(guest.health()).catch(() => {});
    assert.deepEqual([init(), wakes], ["up", [id]]);
  });

  test("an agent that tells its version alone is served all the same, and its clock is left alone", async () => {
    guest.health = () => ({ agent: "0.9", uptimeMs: 5 });
    links.ensure(id, process1);
    await clock.settle();
    assert.deepEqual(links.agent(id), { is: "present", answering: true, version: "0.9" });
    assert.equal(await links.setClock(id, new AbortController().signal), 0);
    assert.deepEqual(guest.set, []);
    guest.tell([sshd]).catch(() => {});
    assert.equal(links.listeners(id).is, "present");
  });

  const behindMs = () => (links.agent(id) as { behindMs?: number }).behindMs;
  const told = (aheadMs: number) => {
    guest.aheadMs = aheadMs;
    guest.tellHealth(guest.health()).catch(() => {});
    return behindMs();
  };
  const { signal } = new AbortController();

  test("a clock that is off by more than a second is told and set right, in both directions", async () => {
    links.ensure(id, process1);
    await clock.settle();
    for (const aheadMs of [-30_000, 3_600_000]) {
      wakes.length = 0;
      assert.deepEqual([told(aheadMs), wakes], [-aheadMs, [id]]);
      assert.equal(await links.setClock(id, signal), -aheadMs);
      assert.deepEqual([guest.aheadMs, behindMs()], [0, 0]);
    }
    assert.equal(told(-900), 0);
  });

  test("a guest that was just started may be off by two seconds, and not for long", async () => {
    links.ensure(id, process1);
    await clock.settle();
    guest.uptimeMs = 20_000;
    assert.deepEqual([told(-1_900), told(-2_100)], [0, 2_100]);
    guest.uptimeMs = 61_000;
    assert.equal(told(-1_900), 1_900);
  });

  test("a clock that somebody in the guest has set is theirs", async () => {
    links.ensure(id, process1);
    await clock.settle();
    guest.ownClock = true;
    assert.equal(told(-86_400_000), 0);
    assert.equal(await links.setClock(id, signal), 0);
    assert.deepEqual(guest.set, []);
  });

  test("what only took its time to get here is no clock that is behind", async () => {
    links.ensure(id, process1);
    await clock.settle();
    const late = guest.health();
    await clock.advance(5_000);
    guest.tellHealth(late).catch(() => {});
    assert.equal(behindMs(), 5_000);
    assert.equal(await links.setClock(id, signal), 0);
    assert.deepEqual([guest.set, behindMs()], [[], 0]);
  });

  test("a clock is set by the answer that took the least time, and by none that took longer than it is off", async () => {
    links.ensure(id, process1);
    await clock.settle();
    guest.aheadMs = -30_000;
    guest.slowMs.push(4_000, 1_000, 6_000);
    assert.equal(await links.setClock(id, signal), 30_500);
    guest.aheadMs = 0;
    guest.slowMs.push(4_000, 4_000, 4_000);
    assert.equal(await links.setClock(id, signal), 0);
    assert.deepEqual(guest.set, [30_500]);
  });

  test("an agent that ends one of its two tales is asked anew for both", async () => {
    links.ensure(id, process1);
    await clock.settle();
    guest.endHealth();
    await clock.advance(2_500);
    guest.aheadMs = -30_000;
    guest.tellHealth(guest.health()).catch(() => {});
    assert.deepEqual([guest.dials, behindMs()], [1, 30_000]);
  });
});
