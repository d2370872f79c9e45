/** Which ports of a guest are forwarded. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Listener, ObservedVm } from "../../src/model/model.js";
import { reconcileVm } from "../../src/reconcilers/index.js";
import { mostForwards } from "../../src/reconcilers/network.js";
import { capabilities, seenRunning, t0, vmAfterTypes, ways } from "../fixtures.js";

const server = { pid: 1, process: "server", command: "server" };
const listens: Listener = { proto: "tcp", address: "0.0.0.0", port: 80, ...server };

test("a guest with any number of listeners gets 256 forwards, and keeps those that it has", () => {
  const vm = vmAfterTypes(...(ways["running"] ?? []));
  const list = Array.from({ length: 1000 }, (_, n) => ({ ...listens, port: 1000 + n }));
  const forwards = [22, 1990].map((each) => ({ guestPort: each, hostPort: each }));
  const seen: ObservedVm = {
    ...seenRunning,
    forwards: { is: "present", list: forwards },
    listeners: { is: "present", list },
  };
  const made = reconcileVm(vm, seen, capabilities, t0);
  assert.equal(made.length, mostForwards - forwards.length);
  assert.ok(made.every(({ kind }) => kind === "ensureForward"));
});

const vm = vmAfterTypes(...(ways["running"] ?? []));
const wants = (list: Listener[], there: { guestPort: number; hostPort: number; loopback?: string }[]) =>
  reconcileVm(
    vm,
    {
      ...seenRunning,
      forwards: { is: "present", list: [{ guestPort: 22, hostPort: 22 }, ...there] },
      listeners: { is: "present", list },
    },
    capabilities,
    t0,
  ).map((effect) => [effect.kind, "loopback" in effect ? effect.loopback : "card"]);
const own = (address: string): Listener => ({ ...listens, address });

test("a server on the guest's loopback is forwarded through the agent, on whichever of its addresses", () => {
  assert.deepEqual(wants([own("127.0.0.1")], []), [["ensureForward", "127.0.0.1"]]);
  assert.deepEqual(wants([own("::1"), own("127.0.0.1")], []), [["ensureForward", "127.0.0.1"]]);
  assert.deepEqual(wants([own("::1")], []), [["ensureForward", "::1"]]);
  assert.deepEqual(wants([{ ...own("127.0.0.1"), proto: "udp" }], []), []);
});

test("one that the guest's card reaches is not gone round to, and a forward that leads elsewhere makes room first", () => {
  const through = { guestPort: 80, hostPort: 80, loopback: "127.0.0.1" };
  assert.deepEqual(wants([own("127.0.0.1"), listens], []), [["ensureForward", "card"]]);
  assert.deepEqual(wants([own("127.0.0.1")], [through]), []);
  assert.deepEqual(wants([listens], [through]), [["ensureNoForward", "127.0.0.1"]]);
  assert.deepEqual(wants([own("127.0.0.1")], [{ guestPort: 80, hostPort: 80 }]), [
    ["ensureNoForward", "card"],
  ]);
});
