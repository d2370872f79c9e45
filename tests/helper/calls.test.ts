/** How the helper runs calls: in order for one VM, side by side for others, within deadlines, and to an end at SIGTERM. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { deadlinesMs, limits } from "../../helper/limits.js";
import { HostFailure, Refusal } from "../../helper/refusal.js";
import { ManualClock } from "../manual-clock.js";
import { gate, look, noTap, Raw, serve, until, verdictOf } from "./serve.js";

const vm = (number: number): string => number.toString(16).padStart(8, "0");

test("calls about one VM follow each other; another VM's and a look do not wait for them", async (t) => {
  const first = gate();
  let running = 0;
  const served = await serve(t, {
    methods: {
      ensureNoTap: async ({ vmId }) => {
        assert.equal(vmId === vm(1) ? ++running : 1, 1, "two at a time about one VM");
        if (vmId === vm(1)) await first.promise.finally(() => running--);
        return {};
      },
    },
  });
  const [one, other] = [new Raw(served.path), new Raw(served.path)];
  one.send(noTap(1, vm(1)), noTap(2, vm(1)), noTap(3, vm(2)), look(4));
  other.send(noTap(5, vm(1)), look(6));
  assert.deepEqual((await one.answered(2)).map(({ id }) => id).sort(), [3, 4]);
  assert.deepEqual(
    (await other.answered(1)).map(({ id }) => id),
    [6],
  );
  assert.equal(running, 1);
  first.open();
  assert.deepEqual((await one.answered(4)).map(({ id }) => id).slice(2), [1, 2]);
  await other.answered(2);
});

test("what changes the shared network is done one after the other", async (t) => {
  const held = gate();
  const served = await serve(t, { methods: { ensureBridge: () => held.promise.then(() => ({})) } });
  const client = new Raw(served.path);
  client.send(
    { id: 1, method: "ensureBridge", params: {} },
    { id: 2, method: "ensureNoBridge", params: {} },
    look(3),
  );
  await client.answered(1);
  assert.deepEqual(served.reached.map(({ method }) => method).sort(), ["ensureBridge", "look"]);
  held.open();
  await client.answered(3);
});

test("only so many calls are at work, and only so many of a connection wait", async (t) => {
  const held = gate();
  let most = 0;
  let atWork = 0;
  const served = await serve(t, {
    methods: {
      ensureNoTap: async () => {
        most = Math.max(most, ++atWork);
        await held.promise;
        atWork--;
        return {};
      },
    },
  });
  const client = new Raw(served.path);
  for (let id = 0; id < limits.pendingCalls + 3; id++) client.send(noTap(id, vm(id)));
  const busy = await client.answered(3);
  assert.deepEqual(busy.map(verdictOf), ["helper_busy", "helper_busy", "helper_busy"]);
  assert.deepEqual(
    busy.map(({ id }) => id),
    [64, 65, 66],
  );
  held.open();
  const answers = await client.answered(limits.pendingCalls + 3);
  assert.equal(answers.filter((answer) => verdictOf(answer) === "result").length, limits.pendingCalls);
  assert.equal(most, limits.callsAtWork);
  client.send(look(99));
  assert.equal(verdictOf((await client.answered(limits.pendingCalls + 4)).at(-1)), "result");
});

test("a call that is late is told so; its VM stays taken until it has really ended", async (t) => {
  const clock = new ManualClock();
  const held = gate();
  let aborted = false;
  const served = await serve(t, {
    clock,
    methods: {
      ensureNoTap: async (_, { signal }) => {
        signal.addEventListener("abort", () => (aborted = true));
        await held.promise;
        return {};
      },
    },
  });
  const client = new Raw(served.path);
  client.send(noTap(1, vm(1)), look(2));
  await client.answered(1);
  await clock.advance(deadlinesMs.ensureNoTap - 1);
  assert.equal(aborted, false);
  await clock.advance(1);
  assert.equal(aborted, true);
  client.send(noTap(3, vm(1)), look(4));
  await client.answered(2);
  assert.equal(client.answers.length, 2, "it has a little time to clean up");
  await clock.advance(limits.graceMs);
  assert.deepEqual((await client.answered(3)).map(verdictOf), ["result", "result", "helper_late"]);
  assert.equal(served.reached.filter(({ method }) => method === "ensureNoTap").length, 1);
  held.open();
  assert.deepEqual(
    (await client.answered(4)).map(({ id }) => id),
    [2, 4, 1, 3],
  );
});

test("a method that ends when its deadline has passed says why itself", async (t) => {
  const clock = new ManualClock();
  const served = await serve(t, {
    clock,
    methods: {
      look: (_, { signal }) =>
        new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
    },
  });
  const client = new Raw(served.path);
  client.send(look(1));
  await until(() => served.reached.length === 1);
  await clock.advance(deadlinesMs.look);
  assert.deepEqual((await client.answered(1)).map(verdictOf), ["helper_late"]);
});

test("what a client that is gone had asked for is not begun any more", async (t) => {
  const held = gate();
  const served = await serve(t, { methods: { ensureNoTap: () => held.promise.then(() => ({})) } });
  const client = new Raw(served.path);
  client.send(noTap(1, vm(1)), { id: 2, method: "ensureNoJail", params: { vmId: vm(1) } }, look(3));
  await client.answered(1);
  client.socket.destroy();
  const next = new Raw(served.path);
  next.send(look(4), { id: 5, method: "ensureNat", params: { vmId: vm(1), address: "172.16.0.2" } });
  await next.answered(1);
  // By now the server has seen the first client go: its end was there before this one began.
  held.open();
  await next.answered(2);
  assert.deepEqual(served.reached.map(({ method }) => method).sort(), [
    "ensureNat",
    "ensureNoTap",
    "look",
    "look",
  ]);
  await until(() => served.audit.length === 5);
  assert.deepEqual(served.audit.map(({ method, error }) => `${method} ${error?.code}`).sort(), [
    "ensureNat undefined",
    "ensureNoJail helper_stopping",
    "ensureNoTap undefined",
    "look undefined",
    "look undefined",
  ]);
});

/** A client that is served, as soon as the helper has heard of the end of enough others. */
async function letIn(path: string): Promise<Raw> {
  for (;;) {
    const client = new Raw(path);
    client.send(look(1));
    if (verdictOf((await client.answered(1))[0]) === "result") return client;
    await client.closed;
  }
}

test("of a thousand connections as many as may be are served, the others are told; none is left", async (t) => {
  const { path, audit } = await serve(t);
  const before = readdirSync("/proc/self/fd").length;
  const clients: Raw[] = [];
  // The kernel refuses those that come faster than they are accepted: 511 at a time can wait.
  while (clients.length < 1000) {
    const some = Array.from({ length: 250 }, () => new Raw(path));
    for (const client of some) client.send(look(1));
    await Promise.all(some.map((client) => client.answered(1)));
    clients.push(...some);
  }
  const verdicts = clients.map(({ answers }) => verdictOf(answers[0]));
  assert.equal(verdicts.filter((verdict) => verdict === "result").length, limits.connections);
  assert.equal(verdicts.filter((verdict) => verdict === "helper_busy").length, 1000 - limits.connections);
  assert.equal(audit.length, 1000);
  for (const client of clients) client.socket.destroy();
  await Promise.all(clients.map(({ closed }) => closed));
  (await letIn(path)).socket.destroy();
  await until(() => readdirSync("/proc/self/fd").length <= before);
});

test("coming and going makes no more calls than staying", async (t) => {
  const held = gate();
  const served = await serve(t, { methods: { ensureNoTap: () => held.promise.then(() => ({})) } });
  let refused = 0;
  for (let turn = 0; turn < limits.connections + 5; turn++) {
    const client = new Raw(served.path);
    client.send(noTap(1, vm(1)), look(2));
    refused += verdictOf((await client.answered(1))[0]) === "helper_busy" ? 1 : 0;
    client.socket.destroy();
    await client.closed;
  }
  assert.equal(refused, 5);
  held.open();
  await until(
    () => served.audit.filter(({ method }) => method === "ensureNoTap").length === limits.connections,
  );
  await letIn(served.path);
});

test("every way to fail has its own form, and leaves its line", async (t) => {
  const failures: [thrown: unknown, error: object][] = [
    [
      new Refusal("jail-owner", "not yours", "banger x"),
      { code: "helper_refused", message: "not yours", rule: "jail-owner", hint: "banger x", retry: "never" },
    ],
    [new HostFailure("tool_failed", "no"), { code: "tool_failed", message: "no", retry: "later" }],
    [
      new HostFailure("tool_missing", "no", "never", "apt-get install x"),
      { code: "tool_missing", message: "no", hint: "apt-get install x", retry: "never" },
    ],
    [
      Object.assign(new Error("open: EIO"), { code: "EIO", syscall: "open", path: "/x" }),
      { code: "host_failed", message: "open: EIO (/x)", retry: "later" },
    ],
    [
      Object.assign(new Error("write: ENOSPC"), { code: "ENOSPC", syscall: "write" }),
      { code: "disk_full", message: "write: ENOSPC", retry: "later" },
    ],
    [new TypeError("a bug"), { code: "helper_internal", message: "a bug", retry: "never" }],
    ["thrown text", { code: "helper_internal", message: "thrown text", retry: "never" }],
    [new Error("x".repeat(9999)), { code: "helper_internal", message: "x".repeat(500), retry: "never" }],
  ];
  const left = failures.map(([thrown]) => thrown);
  const served = await serve(t, { methods: { ensureNoTap: async () => Promise.reject(left.shift()) } });
  const client = new Raw(served.path);
  for (const [index, [, error]] of failures.entries()) {
    client.send(noTap(index, vm(1)));
    assert.deepEqual((await client.answered(index + 1))[index], { id: index, error });
    assert.equal(served.audit[index]?.vmId, vm(1));
    assert.deepEqual(served.audit[index]?.error, error);
    assert.equal(served.audit[index]?.peer?.pid, process.pid);
  }
});

test("stopping finishes what is at work, begins nothing more and hears nothing more", async (t) => {
  const held = gate();
  const served = await serve(t, { methods: { ensureNoTap: () => held.promise.then(() => ({})) } });
  const client = new Raw(served.path);
  client.send(noTap(1, vm(1)), noTap(2, vm(1)), look(3));
  await client.answered(1);
  const stopped = served.helper.stop();
  client.send(look(4));
  const late = new Raw(served.path);
  await late.closed;
  held.open();
  await stopped;
  await client.closed;
  assert.deepEqual(
    client.answers.map((answer) => [answer.id, verdictOf(answer)]),
    [
      [3, "result"],
      [1, "result"],
      [2, "helper_stopping"],
    ],
  );
});

test("stopping does not wait for ever", async (t) => {
  const clock = new ManualClock();
  const served = await serve(t, { clock, methods: { look: () => new Promise(() => {}) } });
  const client = new Raw(served.path);
  client.send(look(1));
  await until(() => served.reached.length === 1);
  const stopped = served.helper.stop();
  await clock.advance(limits.stopMs);
  await stopped;
  await client.closed;
  assert.deepEqual(client.answers, []);
});
