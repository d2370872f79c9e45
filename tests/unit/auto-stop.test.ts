/** VMs that nobody uses: what counts as use, and that only those are stopped. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { test } from "node:test";
import { Activity } from "../../src/api/activity.js";
import { why } from "../../src/core/explain.js";
import { fold, initialState } from "../../src/core/projection.js";
import { autoStop } from "../../src/daemon/auto-stop.js";
import { connectedAddresses } from "../../src/effects/net/connections.js";
import { loopbackRange } from "../../src/home/addresses.js";
import type { Ledger } from "../../src/log/ledger.js";
import { autoStopCause, type NewEvent } from "../../src/model/events.js";
import { given, sample, stored, timeouts, vmId, ways } from "../fixtures.js";
import { ManualClock } from "../manual-clock.js";

const minute = 60_000;

function bench() {
  const clock = new ManualClock();
  const running = ["vm.created" as const, ...(ways["running"] ?? [])].map(sample);
  let state = given(running, clock.now());
  const committed: { type: string; cause: string }[] = [];
  const ledger = {
    get state() {
      return state;
    },
    commit(events: readonly NewEvent[], cause: string) {
      for (const fact of events) {
        committed.push({ type: fact.type, cause });
        state = fold(state, [{ ...stored(state, fact, clock.now()), cause }]);
      }
    },
  } as unknown as Ledger;
  const uses = new Activity(clock);
  const connected = new Set<string>();
  const end = autoStop({
    ledger,
    uses,
    clock,
    timeouts,
    config: { autoStopAfterMs: 10 * minute },
    connectedAddresses: () => connected,
    warn: (message) => assert.fail(message),
  });
  return { clock, uses, connected, committed, end, address: state.vms[vmId]?.address ?? "" };
}

test("a VM is stopped once nobody has used it for long enough, by the daemon's own cause", async () => {
  const { clock, committed } = bench();
  await clock.advance(9.5 * minute);
  assert.deepEqual(committed, []);
  await clock.advance(minute);
  assert.deepEqual(committed, [{ type: "vm.stop_requested", cause: "host:auto_stop" }]);
  await clock.advance(30 * minute);
  assert.equal(committed.length, 1);
});

test("an open session is use for as long as it lasts, and so is a connection to the VM's address", async () => {
  const { clock, uses, connected, committed, address } = bench();
  const ends = [uses.begin(vmId), uses.begin(vmId)];
  await clock.advance(60 * minute);
  ends[0]?.();
  await clock.advance(60 * minute);
  ends[1]?.();
  await clock.advance(9 * minute);
  connected.add(address);
  await clock.advance(minute);
  connected.clear();
  await clock.advance(9 * minute);
  assert.deepEqual(committed, []);
  await clock.advance(2 * minute);
  assert.equal(committed.length, 1);
});

test("an ended watch stops nothing", async () => {
  const { clock, committed, end } = bench();
  end();
  await clock.advance(60 * minute);
  assert.deepEqual(committed, []);
});

test("vm why names who asked", () => {
  const made = stored(initialState, sample("vm.created"));
  const state = fold(initialState, [made]);
  const start = stored(state, sample("vm.start_requested"));
  const stop = {
    ...stored(fold(state, [start]), sample("vm.stop_requested")),
    cause: autoStopCause,
  };
  const own = [made, start, stop];
  const vm = fold(initialState, own).vms[vmId];
  assert.ok(vm);
  assert.match(why(vm, own)[0] ?? "", /is stopping since .* it was idle and asked for a stop/);
});

test("a connection is seen at both ends' addresses while it lives and after it; a listener is not", async (t) => {
  // The kernel remembers a connection for a minute: each run has an address of its own.
  const address = `127.201.${(process.pid >> 8) & 255}.${process.pid & 255}`;
  const server = createServer((socket) => socket.resume()).listen(0, address);
  await once(server, "listening");
  t.after(() => server.close());
  assert.ok(!connectedAddresses(loopbackRange(201)).has(address));
  const socket = connect((server.address() as { port: number }).port, address);
  await once(socket, "connect");
  assert.ok(connectedAddresses(loopbackRange(201)).has(address));
  socket.end();
  await once(socket, "close");
  assert.ok(connectedAddresses(loopbackRange(201)).has(address));
});
