/** The daemon as a whole on the simulated host: one per home, its end leaves VMs alone, a failed append ends it. */
import assert from "node:assert/strict";
import { Resolver } from "node:dns/promises";
import { cpSync, existsSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { afterEach, beforeEach, describe, type TestContext, test } from "node:test";
import type { HistoryView, VmView } from "../../src/contract/contract.js";
import type { DaemonView } from "../../src/contract/daemon.js";
import { homeHandles } from "../../src/home/handles.js";
import { BangerError } from "../../src/lib/errors.js";
import { Log } from "../../src/log/log.js";
import { ask } from "../api-checks.js";
import { DaemonBench } from "../daemon-bench.js";

describe("a daemon", () => {
  let bench: DaemonBench;
  beforeEach(async () => {
    bench = await DaemonBench.open();
  });
  afterEach(() => bench.close());

  test("is the only one of its home; a second one leaves the first alone", async () => {
    await bench.start();
    await assert.rejects(bench.start(), { code: "log_busy" });
    assert.equal((await bench.ask("GET", "/v1/daemon")).status, 200);
  });

  test("of two that start at once one serves", async () => {
    const both = await Promise.allSettled([bench.start(), bench.start()]);
    assert.deepEqual(both.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
    assert.equal((await bench.ask("GET", "/v1/daemon")).status, 200);
  });

  for (const [what, how] of Object.entries({
    moved: (path: string) => renameSync(path, `${path}-moved`),
    deleted: (path: string) => rmSync(path, { recursive: true }),
    replaced: (path: string) => {
      renameSync(path, `${path}-old`);
      cpSync(`${path}-old`, path, { recursive: true, filter: (each) => !each.endsWith(".sock") });
    },
  })) {
    test(`whose home is ${what} ends, and makes nothing anew there`, async () => {
      const daemon = await bench.start();
      await bench.pullImage();
      const id = await bench.runningVm("ann");
      how(bench.home.state);
      const before = what === "replaced" ? readdirSync(bench.home.state).sort() : undefined;
      const error = await daemon.closed;
      assert.ok(error instanceof BangerError);
      assert.equal(error.code, "home_lost");
      const after = existsSync(bench.home.state) ? readdirSync(bench.home.state).sort() : undefined;
      assert.deepEqual(after, before);
      assert.equal(bench.host.vms.get(id)?.process?.guest, "up");
    });
  }

  test("keeps what it makes to its user", async () => {
    const before = process.umask(0o077);
    try {
      await bench.start();
      const { log, vms } = homeHandles(bench.home);
      for (const path of [bench.socket, bench.home.runtime, bench.home.state, log, vms]) {
        assert.equal(statSync(path).mode & 0o077, 0, path);
      }
    } finally {
      process.umask(before);
    }
  });

  test("that ends leaves its VMs running, and the next one takes them over", async () => {
    const first = await bench.start();
    await bench.pullImage();
    const id = await bench.runningVm("ann");
    const process = bench.host.vms.get(id)?.process;
    await Promise.all([first.close(), first.close()]);
    assert.equal(await first.closed, undefined);
    await assert.rejects(bench.ask("GET", "/v1/daemon"));
    assert.equal(bench.host.vms.get(id)?.process, process);
    await bench.start();
    await bench.event(id, "vm.adopted");
    const vm = await ask<VmView>(bench, "vmShow", { ref: "ann" });
    assert.deepEqual([vm.phase, vm.pid], ["running", process?.pid]);
  });

  test("that finds a VM gone which it had running says so", async () => {
    const first = await bench.start();
    await bench.pullImage();
    const id = await bench.runningVm("ann");
    await first.close();
    bench.host.exit(id, { reason: "lost", detail: "killed from outside" });
    await bench.start();
    await bench.event(id, "vm.process_exited");
    const vm = await ask<VmView>(bench, "vmShow", { ref: "ann" });
    assert.deepEqual([vm.phase, vm.lastExit?.reason], ["stopped", "lost"]);
  });

  test("ends when the log refuses an append, and tells with what", async (t: TestContext) => {
    const daemon = await bench.start();
    await bench.pullImage();
    const refuse = () => {
      throw new BangerError("disk_full", "no space left", { retry: "later" });
    };
    t.mock.method(Log.prototype, "append", refuse);
    const body = { commandId: "command-1", spec: {}, start: false };
    const { status, json } = await bench.ask("POST", "/v1/vms", body);
    assert.deepEqual([status, (json as { error: BangerError }).error.code], [503, "disk_full"]);
    assert.equal(((await daemon.closed) as BangerError).code, "disk_full");
    t.mock.restoreAll();
    await bench.start();
    assert.deepEqual(await ask(bench, "vmList"), []);
  });

  test("moves the events of VMs that were deleted long ago to the archive", async () => {
    await bench.start();
    await bench.pullImage();
    const id = await bench.runningVm("ann");
    const body = { commandId: "command-bob", name: "bob", spec: {}, start: false };
    await bench.ask("POST", "/v1/vms", body);
    await bench.ask("POST", "/v1/vms/actions", { action: "delete", refs: ["ann"] });
    const archived = await bench.event("log", "log.stream_archived");
    assert.equal((archived["data"] as { stream: string }).stream, `vm/${id}`);
    assert.equal((await bench.ask("GET", "/v1/vms/ann")).status, 404);
    const life = await bench.ask("GET", "/v1/vms/ann/history");
    assert.equal((life.json as HistoryView).entries.at(-1)?.type, "vm.deleted");
    assert.deepEqual(
      (await ask<VmView[]>(bench, "vmList")).map(({ name }) => name),
      ["bob"],
    );
    assert.equal((await ask<{ ok: boolean }>(bench, "eventsVerify")).ok, true);
  });

  test("answers the names of its VMs, for as long as it runs", async () => {
    const daemon = await bench.start();
    await bench.pullImage();
    const body = { commandId: "command-bob", name: "bob", spec: {}, start: false };
    const { address } = (await bench.ask("POST", "/v1/vms", body)).json as VmView;
    const { dns } = await ask<DaemonView>(bench, "daemon");
    const resolver = new Resolver({ timeout: 2_000, tries: 1 });
    resolver.setServers([dns ?? ""]);
    assert.deepEqual(await resolver.resolve4("bob.vm"), [address]);
    assert.deepEqual(await resolver.reverse(address), ["bob.vm"]);
    await daemon.close();
    await assert.rejects(resolver.resolve4("bob.vm"));
  });

  test("ends its followers with itself", async () => {
    const daemon = await bench.start();
    const lines = bench.lines("/v1/events?follow=true");
    await lines.next();
    const rest = (async () => {
      for await (const _ of lines);
    })();
    await Promise.allSettled([daemon.close(), rest]);
    await assert.rejects(bench.ask("GET", "/v1/daemon"));
  });

  test("that cannot open its world gives the home free", async (t: TestContext) => {
    t.mock.method(bench, "openWorld", () =>
      Promise.reject(new BangerError("qemu_missing", "there is no VMM")),
    );
    await assert.rejects(bench.start(), { code: "qemu_missing" });
    t.mock.restoreAll();
    await bench.start();
  });
});
