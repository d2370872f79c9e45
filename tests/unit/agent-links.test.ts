/** Links to guest agents: kept up in the background, told truly, never reset without need. */
import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { beforeEach, describe, test } from "node:test";
import { AgentLinks, type GuestAgent, type Session } from "../../src/effects/agent/links.js";
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
  hangUp: () => void = () => {};
  closed = false;

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
      health: () => (this.healthy ? Promise.resolve({ agent: "1.2" }) : never),
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
    guest = new Guest();
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
    assert.deepEqual(links.agent(id), { is: "present", answering: true, version: "1.2" });
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
});
