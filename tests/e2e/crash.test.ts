/** Whatever dies whenever, the next command finds everything again: real daemon, real QEMU, real SIGKILL. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { after, before, test } from "node:test";
import type { VmView } from "../../src/contract/contract.js";
import type { EventView } from "../../src/contract/events.js";
import { homeHandles } from "../../src/home/handles.js";
import { isRunning, TestHome, until, withHome } from "./harness.js";

const home = new TestHome();
after(() => home.dispose());
const small = ["--memory", "256M", "--vcpu", "1"];
const handlesCache = homeHandles(home.home).handlesCache;

before(async () => {
  await home.run(["image", "pull", "debian-slim"], { timeoutMs: 900_000 });
});

/** Kills the daemon the moment that the VM's stream has an event of that type. */
async function killAt(name: string, type: string): Promise<void> {
  const follower = home.start(["events", name, "--follow", "--json", "--type", type]);
  const seen = new Promise<void>((resolve) => follower.child.stdout?.once("data", () => resolve()));
  await seen;
  await home.killDaemon();
  follower.child.kill("SIGKILL");
  await follower.ended;
}

const phaseOf = async (name: string): Promise<string | undefined> =>
  (await home.json<VmView[]>("vm", "list")).find((vm) => vm.name === name)?.phase;

for (const damage of ["nothing", "deleted", "garbage"] as const) {
  test(`after kill -9 of the daemon, with ${damage} done to handles.json, VMs are adopted`, async () => {
    await home.ok("vm", "run", "-d", "--name", "adoptee", ...small);
    const { pid } = await home.vm("adoptee");
    await home.killDaemon();
    assert.ok(existsSync(handlesCache));
    if (damage === "deleted") rmSync(handlesCache);
    if (damage === "garbage") writeFileSync(handlesCache, '{"vms":{"00000000":{"pid":1}}');
    assert.equal(await home.ok("vm", "exec", "adoptee", "--", "echo", "still here"), "still here\n");
    const vm = await home.vm("adoptee");
    assert.equal(vm.pid, pid);
    assert.equal(vm.phase, "running");
    assert.equal((await home.events("adoptee")).filter(({ type }) => type === "vm.adopted").length, 1);
    await home.ok("vm", "stop", "adoptee");
    assert.equal(isRunning(pid ?? 0), false);
    await home.ok("vm", "delete", "adoptee");
    assert.deepEqual(home.leftovers(), []);
  });
}

const numbers = (upTo: number) => Array.from({ length: upTo }, (_, i) => `${i + 1}\n`).join("");

test("sessions and followers miss and double nothing when the daemon is killed and when it is stopped", async () => {
  await home.ok("vm", "run", "-d", "--name", "followed", ...small);
  const line = (text: string) =>
    home.ok("vm", "exec", "followed", "--", "sh", "-c", `echo ${text} > /dev/console`);
  await line("before-1");
  const follower = home.start(["vm", "logs", "followed", "-f", "--tail", "1"]);
  const events = home.start(["events", "followed", "-f", "--json"]);
  const inGuest = (...argv: string[]) => ["vm", "exec", "followed", "--", ...argv];
  // More than fits between the guest and a reader who takes no more: it is under way until that goes on.
  const counter = home.start(inGuest("sh", "-c", "seq 400000; echo end >&2; exit 7"));
  const some = () =>
    new Promise<void>((resolve) => {
      counter.child.stdout?.resume().once("data", () => resolve(void counter.child.stdout?.pause()));
    });
  const given = new PassThrough();
  const asked = home.start(inGuest("sh", "-c", 'while read -r line; do echo "$line"; done; exit 3'), {
    input: given,
  });
  let last = 0;
  const give = (upTo: number) => {
    for (; last < upTo; last++) given.write(`${last + 1}\n`);
  };
  give(100);
  await some();
  await until("all of them are on their way", async () =>
    [follower, events, asked].every((each) => each.soFar().length > 0),
  );
  await home.killDaemon();
  give(200);
  await until("what was given comes back", async () => asked.soFar().endsWith("\n200\n"));
  await some();
  await home.ok("daemon", "stop");
  counter.child.stdout?.resume();
  give(300);
  given.end();
  const [counted, answered] = [await counter.ended, await asked.ended];
  assert.deepEqual([counted.status, counted.stdout, counted.stderr], [7, numbers(400_000), "end\n"]);
  assert.deepEqual([answered.status, answered.stdout], [3, numbers(300)]);
  await line("after-1");
  await until("the follower goes on", async () => follower.soFar().includes("after-1"));
  const left = home.start(inGuest("sh", "-c", "echo up; exec sleep 1000"));
  await until("the command runs", async () => left.soFar() === "up\n");
  left.child.kill("SIGKILL");
  const processes = () => home.ok(...inGuest("ps", "-e", "-o", "args"));
  await until("a command goes with its client", async () => !/sleep 1000/.test(await processes()));
  await home.ok("vm", "delete", "followed");
  await until("the events go on", async () => events.soFar().includes('"vm.delete_requested"'));
  for (const { child } of [follower, events]) child.kill("SIGKILL");
  assert.deepEqual(follower.soFar().match(/(before|after)-1/g), ["before-1", "after-1"]);
  const seqs = [...events.soFar().matchAll(/"seq": ?(\d+)/g)].map(([, seq]) => Number(seq));
  assert.deepEqual(
    seqs,
    [...new Set(seqs)].sort((one, other) => one - other),
  );
});

for (const stage of ["vm.created", "vm.disk_attached", "vm.process_started", "vm.ready"]) {
  test(`a create whose daemon dies after ${stage} goes on to running`, async () => {
    const created = home.start(["vm", "create", "--name", "phoenix", ...small]);
    await until("it is created", async () => (await phaseOf("phoenix")) !== undefined);
    await killAt("phoenix", stage);
    await created.ended;
    await until("it runs", async () => (await phaseOf("phoenix")) === "running");
    assert.equal(await home.ok("vm", "exec", "phoenix", "--", "echo", "up"), "up\n");
    await home.ok("vm", "delete", "phoenix");
    assert.deepEqual(home.leftovers(), []);
  });
}

for (const stage of ["vm.stop_requested", "vm.shutdown_asked", "vm.process_exited"]) {
  test(`a stop whose daemon dies after ${stage} ends in stopped, with its disks`, async () => {
    await home.ok("vm", "create", "--name", "sleeper", ...small);
    await until("it runs", async () => (await phaseOf("sleeper")) === "running");
    await home.ok("vm", "exec", "sleeper", "--", "sh", "-c", "echo kept > /root/file; sync");
    const stopped = home.start(["vm", "stop", "sleeper"]);
    await killAt("sleeper", stage);
    await stopped.ended;
    await until("it is stopped", async () => (await phaseOf("sleeper")) === "stopped");
    await home.ok("vm", "start", "sleeper");
    await until("it runs", async () => (await phaseOf("sleeper")) === "running");
    assert.equal(await home.ok("vm", "exec", "sleeper", "--", "cat", "/root/file"), "kept\n");
    await home.ok("vm", "delete", "sleeper");
    assert.deepEqual(home.leftovers(), []);
  });
}

test("a delete whose daemon dies after it was asked for ends with nothing left", async () => {
  await home.ok("vm", "run", "-d", "--name", "goner", ...small);
  const { id } = await home.vm("goner");
  const deleted = home.start(["vm", "delete", "goner"]);
  await killAt(`vm/${id}`, "vm.delete_requested");
  await deleted.ended;
  await until(
    "it is gone",
    async () => (await phaseOf("goner")) === undefined && home.leftovers().length === 0,
  );
  const last = (await home.events(`vm/${id}`)).at(-1);
  assert.equal(last?.type, "vm.deleted");
});

test("a QEMU that is killed from outside is a stopped VM with a cause", async () => {
  await home.ok("vm", "run", "-d", "--name", "victim", ...small);
  const { pid } = await home.vm("victim");
  process.kill(pid ?? 0, "SIGKILL");
  await until("the list shows it stopped", async () => (await phaseOf("victim")) === "stopped", 15_000);
  const vm = await home.vm("victim");
  assert.equal(vm.lastExit?.reason, "lost");
  assert.match(await home.ok("vm", "why", "victim"), /victim is stopped/);
  await home.ok("vm", "start", "victim");
  assert.equal(await home.ok("vm", "exec", "victim", "--", "echo", "back"), "back\n");
  await home.ok("vm", "delete", "victim");
  assert.deepEqual(home.leftovers(), []);
});

test("two daemons at once: one serves, the other joins", async () => {
  await home.ok("daemon", "stop");
  const lists = await Promise.all(Array.from({ length: 4 }, () => home.run(["vm", "list", "--json"])));
  assert.deepEqual(
    lists.map(({ status }) => status),
    [0, 0, 0, 0],
    lists.map(({ stderr }) => stderr).join(),
  );
  const starts = await home.ok("events", "daemon", "--json");
  const events = starts
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as EventView);
  const status = await home.json<{ pid: number }>("daemon", "status");
  assert.ok(isRunning(status.pid));
  assert.equal(events.at(-1)?.type, "daemon.started");
});

test("SIGTERM ends the daemon and leaves VMs running", async () => {
  await home.ok("vm", "run", "-d", "--name", "survivor", ...small);
  const { pid } = await home.vm("survivor");
  const daemon = await home.daemonPid();
  process.kill(daemon, "SIGTERM");
  await until("the daemon has ended", () => !isRunning(daemon));
  assert.ok(isRunning(pid ?? 0));
  assert.equal((await home.vm("survivor")).pid, pid);
  await home.ok("vm", "delete", "survivor");
  assert.deepEqual(home.leftovers(), []);
});

test("a home is its directories: by a link, after a move, and no more once they are deleted", () =>
  withHome(async (own) => {
    const state = (name: string) => join(own.root, name);
    mkdirSync(own.home.config, { recursive: true });
    writeFileSync(homeHandles(own.home).configFile, 'resync_interval = "1s"\n');
    await own.ok("vm", "run", "-d", "--name", "box", ...small);
    const { pid } = await own.vm("box");
    await own.ok("daemon", "stop");
    symlinkSync("state", state("link"));
    /** What a command that finds the home by that name prints. */
    const by = async (name: string, ...args: string[]) => {
      const { stdout, stderr } = await own.run(args, { env: { XDG_STATE_HOME: state(name) } });
      assert.equal(stderr, "");
      return stdout;
    };
    const seenBy = async (name: string) =>
      (JSON.parse(await by(name, "vm", "show", "box", "--json")) as VmView).pid;
    const daemonBy = async (name: string) =>
      (JSON.parse(await by(name, "daemon", "status", "--json")) as { pid: number }).pid;
    assert.equal(await seenBy("link"), pid);

    const first = await daemonBy("link");
    renameSync(state("state"), state("moved"));
    await until("the daemon has noticed", () => !isRunning(first));
    assert.ok(isRunning(pid ?? 0));
    assert.equal(existsSync(state("state")), false);
    assert.equal(await seenBy("moved"), pid);
    assert.equal(await by("moved", "vm", "exec", "box", "--", "echo", "here"), "here\n");

    const second = await daemonBy("moved");
    rmSync(state("moved"), { recursive: true });
    await until("both have ended", () => !isRunning(second) && !isRunning(pid ?? 0));
    assert.equal(existsSync(state("moved")), false);
    assert.equal(await by("moved", "vm", "list", "-q"), "");
  }));
