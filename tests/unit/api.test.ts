/** The API on a real socket: every route of the contract answers as its schema says, and refuses what is wrong. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import type { RouteName } from "../../src/client/client.js";
import { routes, type VmActionResult, type VmView } from "../../src/contract/contract.js";
import { EventView } from "../../src/contract/events.js";
import { imageRoutes } from "../../src/contract/images.js";
import { unknownRoutes } from "../../src/contract/unknown.js";
import { vmHandles } from "../../src/home/handles.js";
import { ask, askWrong, conforms, type Parts } from "../api-checks.js";
import { DaemonBench } from "../daemon-bench.js";

const exercised = new Set<string>();
let bench: DaemonBench;

before(async () => {
  bench = await DaemonBench.open();
  await bench.start();
  await bench.pullImage();
});
after(() => bench.close());

const ok = <T>(name: RouteName, parts: Parts = {}): Promise<T> => {
  exercised.add(name);
  return ask<T>(bench, name, parts);
};
const refused = (name: RouteName, status: number, parts: Parts = {}) => askWrong(bench, name, status, parts);

let commands = 0;
const createBody = (more: object = {}) => ({
  commandId: `command-${++commands}`.padEnd(12, "x"),
  spec: {},
  start: false,
  ...more,
});
const create = (more: object = {}) => ok<VmView>("vmCreate", { body: createBody(more) });
const act = (action: string, refs: string[]) => ok<VmActionResult>("vmAct", { body: { action, refs } });

describe("the daemon", () => {
  test("daemon and defaults", async () => {
    const daemon = await ok<{ pid: number; vmm: string }>("daemon");
    assert.deepEqual([daemon.pid, daemon.vmm], [process.pid, "simulated"]);
    await ok("defaults");
  });

  test("what is served nowhere says so", async () => {
    for (const path of ["/", "/v1", "/v2/vms", "/v1/vms/a/b"]) {
      const { status, json } = await bench.ask("GET", path);
      assert.deepEqual([status, (json as { error: { code: string } }).error.code], [404, "not_found"], path);
    }
    const asUpgrade = await bench.ask("POST", "/v1/vms/ann/exec", { argv: ["true"] });
    assert.equal(asUpgrade.status, 426);
    assert.equal((asUpgrade.json as { error: { code: string } }).error.code, "upgrade_required");
  });
});

describe("create", () => {
  test("a VM has what was asked for and the defaults for the rest", async () => {
    const vm = await create({ name: "made", spec: { vcpu: 2, net: { mode: "none" } } });
    assert.deepEqual([vm.spec.vcpu, vm.spec.memoryMiB, vm.spec.net.mode], [2, 512, "none"]);
    assert.deepEqual([vm.name, vm.phase, vm.image], ["made", "stopped", "debian-slim"]);
    assert.match((await create()).name, /^[a-z]+-[a-z]+$/);
  });

  test("the same command creates once, whatever became of the first reply", async () => {
    const body = createBody({ name: "once" });
    const first = await ok<VmView>("vmCreate", { body });
    const again = await ok<VmView>("vmCreate", { body: { ...body, name: "twice" } });
    assert.deepEqual([again.id, again.name], [first.id, "once"]);
  });

  test("a name that is taken and an image that is not there are refused", async () => {
    assert.equal(await refused("vmCreate", 409, { body: createBody({ name: "made" }) }), "name_taken");
    assert.equal(await refused("vmCreate", 404, { body: createBody({ image: "nothing" }) }), "image_missing");
  });

  const bad: Record<string, unknown> = {
    "no body": undefined,
    "no JSON": "{",
    "an unknown field": createBody({ colour: "red" }),
    "an unknown field of the spec": createBody({ spec: { gpu: 1 } }),
    "a size out of bounds": createBody({ spec: { vcpu: 0 } }),
    "a number as text": createBody({ spec: { vcpu: "2" } }),
    "a bad name": createBody({ name: "Ann" }),
    "a bad name that ends in a hyphen": createBody({ name: "ann-" }),
    "no commandId": { spec: {}, start: true },
  };
  for (const [what, body] of Object.entries(bad)) {
    test(`${what} is refused`, async () => {
      const before = (await ok<{ seq: number }>("daemon")).seq;
      const code = what.includes("name") ? "name_invalid" : "invalid_request";
      assert.equal(await refused("vmCreate", 400, { body }), code);
      assert.equal((await ok<{ seq: number }>("daemon")).seq, before);
    });
  }
});

describe("actions", () => {
  test("each VM once, in the order of the refs; a bad ref stops nobody", async () => {
    const [a, b] = [await create({ name: "act-a" }), await create({ name: "act-b" })];
    const { results } = await act("start", ["act-b", "nobody", a.id, "act-a", b.id.slice(0, 7)]);
    assert.deepEqual(
      results.map(({ ref, vm, error }) => [ref, vm?.name, error?.code]),
      [
        ["act-b", "act-b", undefined],
        ["nobody", undefined, "vm_not_found"],
        [a.id, "act-a", undefined],
      ],
    );
    for (const { vm, after } of results) {
      if (vm !== undefined) await bench.event(vm.id, "vm.ready", after);
    }
    const again = await act("start", ["act-a"]);
    assert.deepEqual([again.results[0]?.error, again.results[0]?.vm?.phase], [undefined, "running"]);
  });

  test("a refused action tells the VM and why", async () => {
    await bench.runningVm("busy");
    const { results } = await act("delete", ["busy"]);
    const start = await act("start", [results[0]?.vm?.id ?? ""]);
    assert.ok(["not_now", "vm_not_found"].includes(start.results[0]?.error?.code ?? ""));
  });

  test("no refs, an empty ref and an unknown action are refused", async () => {
    for (const body of [
      { action: "start", refs: [] },
      { action: "start", refs: [""] },
      { action: "explode", refs: ["a"] },
      { action: "start", refs: ["a"], loud: true },
    ]) {
      assert.equal(await refused("vmAct", 400, { body }), "invalid_request");
    }
  });
});

describe("one VM", () => {
  let id: string;
  before(async () => {
    id = await bench.runningVm("ann");
  });

  test("show, list, why and history", async () => {
    const vm = await ok<VmView>("vmShow", { ref: "ann" });
    assert.deepEqual([vm.id, vm.phase], [id, "running"]);
    assert.ok((await ok<VmView[]>("vmList")).some((each) => each.id === id));
    const { sentences } = await ok<{ sentences: string[] }>("vmWhy", { ref: "ann" });
    assert.match(sentences[0] ?? "", /ann is running/);
    const { entries } = await ok<{ entries: { type: string }[] }>("vmHistory", { ref: "ann" });
    assert.equal(entries[0]?.type, "vm.created");
  });

  test("unknown refs are not found, ambiguous ones are refused", async () => {
    for (const name of ["vmShow", "vmHealth", "vmPorts", "vmSsh", "vmLogs", "vmHistory", "vmWhy"] as const) {
      assert.equal(await refused(name, 404, { ref: "nobody" }), "vm_not_found", name);
    }
    bench.clock.ids.push("abcd0001", "abcd0002");
    await create();
    await create();
    assert.equal(await refused("vmShow", 409, { ref: "abcd" }), "ref_ambiguous");
    assert.equal((await ok<VmView>("vmShow", { ref: "abcd0002" })).id, "abcd0002");
  });

  test("health tells whether the guest answers", async () => {
    const health = await ok<object>("vmHealth", { ref: "ann" });
    assert.deepEqual(health, {
      ...{ healthy: true, agent: "played", uptimeMs: 1234, init: "starting" },
      detail: "the guest agent answers, its init is still coming up",
    });
    assert.equal((await ok<{ phase: string }>("vmStats", { ref: "ann" })).phase, "running");
    bench.guests.status = 503;
    assert.equal((await ok<{ healthy: boolean }>("vmHealth", { ref: "ann" })).healthy, false);
    bench.guests.status = 200;
    assert.equal((await ok<{ healthy: boolean }>("vmHealth", { ref: "made" })).healthy, false);
  });

  test("ports tell where each listener is reached, or why it is not", async () => {
    const listener = { proto: "tcp", address: "0.0.0.0", port: 22, pid: 1, process: "sshd", command: "sshd" };
    bench.guests.ports = [listener, { ...listener, proto: "udp", port: 80 }];
    await bench.event(id, "vm.ready");
    for (;;) {
      const { forwards } = await ok<VmView>("vmShow", { ref: "ann" });
      if (forwards.length > 0) break;
    }
    const ports = await ok<{ endpoint: string | null; reason: string | null }[]>("vmPorts", { ref: "ann" });
    const { address } = await ok<VmView>("vmShow", { ref: "ann" });
    assert.deepEqual(
      ports.map(({ endpoint }) => endpoint),
      [`${address}:22`, null],
    );
    assert.equal(ports[1]?.reason, "only TCP ports are forwarded");
    assert.equal(await refused("vmPorts", 409, { ref: "made" }), "vm_not_running");
    const ssh = await ok<{ port: number; hostKeyAlias: string }>("vmSsh", { ref: "ann" });
    assert.deepEqual([ssh.port, ssh.hostKeyAlias], [22, `${id}.banger`]);
    assert.equal(await refused("vmSsh", 409, { ref: "made" }), "vm_not_running");
  });

  test("logs are read whole, from the tail, and as they grow", async () => {
    const { directory, consoleLog, vmmLog } = vmHandles(bench.home, id);
    assert.equal(await ok<string>("vmLogs", { ref: "ann" }), "");
    mkdirSync(directory, { recursive: true });
    writeFileSync(consoleLog, "one\ntwo\nthree\n");
    writeFileSync(vmmLog, "vmm\n");
    const logs = (query: string) => ok<string>("vmLogs", { ref: "ann", query });
    assert.equal(await logs(""), "one\ntwo\nthree\n");
    assert.equal(await logs("?tail=2"), "two\nthree\n");
    assert.equal(await logs("?tail=0"), "");
    assert.equal(await logs("?tail=9"), "one\ntwo\nthree\n");
    assert.equal(await logs("?source=vmm"), "vmm\n");
    let read = "";
    for await (const text of bench.read("/v1/vms/ann/logs?follow=true&tail=1")) {
      if (read === "") writeFileSync(consoleLog, "four\n", { flag: "a" });
      read += text;
      if (read.endsWith("four\n")) break;
    }
    assert.equal(read, "three\nfour\n");
    assert.equal(await refused("vmLogs", 400, { ref: "ann", query: "?source=nothing" }), "invalid_request");
    assert.equal(await refused("vmLogs", 400, { ref: "ann", query: "?tial=2" }), "invalid_request");
  });
});

describe("events", () => {
  const ofMade = () => ok<string>("events", { query: "?ref=made" });
  const parse = (text: string) =>
    text
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Record<string, unknown>);

  test("each line is an event of the contract; filters narrow them", async () => {
    const all = parse(await ok<string>("events"));
    for (const event of all) conforms(EventView, event);
    assert.deepEqual(
      parse(await ofMade()).map((event) => event["type"]),
      ["vm.created"],
    );
    const types = parse(await ok<string>("events", { query: "?type=vm.c*&limit=2" }));
    assert.deepEqual(
      types.map((event) => event["type"]),
      ["vm.created", "vm.created"],
    );
    const last = all.at(-1)?.["seq"] as number;
    assert.deepEqual(parse(await ok<string>("events", { query: `?after=${last - 1}` })).length, 1);
    assert.deepEqual(parse(await ok<string>("events", { query: "?last=3" })), all.slice(-3));
    const led = `?cause=${encodeURIComponent(all.at(-1)?.["cause"] as string)}&since=yesterday&last=10`;
    assert.ok(
      parse(await ok<string>("events", { query: led })).every((e) => e["cause"] === all.at(-1)?.["cause"]),
    );
    assert.deepEqual(parse(await ok<string>("events", { query: "?since=2999-01-01T00:00:00Z" })), []);
    for (const query of ["?after=-1", "?follow=perhaps", "?colour=red", "?limit=1&limit=2"]) {
      assert.equal(await refused("events", 400, { query }), "invalid_request", query);
    }
    assert.equal(await refused("events", 400, { query: "?since=soon" }), "bad_duration");
    assert.equal(await refused("events", 404, { query: "?ref=nobody" }), "vm_not_found");
  });

  test("following goes on with what happens next", async () => {
    const { seq } = await ok<{ seq: number }>("daemon");
    const seen: unknown[] = [];
    await create({ name: "followed-1" });
    for await (const event of bench.lines(`/v1/events?type=vm.created&follow=true&after=${seq}`)) {
      seen.push((event["data"] as { name: string }).name);
      if (seen.length === 1) await create({ name: "followed-2" });
      else break;
    }
    assert.deepEqual(seen, ["followed-1", "followed-2"]);
  });

  test("the log verifies, and replays what was", async () => {
    const verify = await ok<{ ok: boolean; events: number }>("eventsVerify");
    assert.equal(verify.ok, true);
    assert.ok(verify.events > 10);
    const replay = await ok<{ until: number; vms: unknown[] }>("eventsReplay", { query: "?until=1" });
    assert.deepEqual([replay.until, replay.vms], [1, []]);
    assert.equal(await refused("eventsReplay", 400), "invalid_request");
  });
});

test("stop answers, then the daemon ends", async () => {
  const other = await DaemonBench.open();
  try {
    const daemon = await other.start();
    const { status, json } = await other.ask("POST", "/v1/daemon/stop");
    assert.equal(status, 200);
    conforms(routes.daemonStop.reply, json);
    exercised.add("daemonStop");
    assert.equal(await daemon.closed, undefined);
    await assert.rejects(other.ask("GET", "/v1/daemon"), { code: /ENOENT|ECONNREFUSED/ });
  } finally {
    await other.close();
  }
});

test("every route was asked and answered as its schema says", () => {
  // These have test files of their own: api-exec, holds, vm-set, api-images and unknown-vms.test.ts.
  const elsewhere = ["vmExec", "vmHold", "vmSet", ...Object.keys({ ...imageRoutes, ...unknownRoutes })];
  assert.deepEqual([...exercised, ...elsewhere].sort(), Object.keys(routes).sort());
});
