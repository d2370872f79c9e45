/** Which ports of a guest are forwarded. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Listener, ObservedVm } from "../../src/model.js";
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
