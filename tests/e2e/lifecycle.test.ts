/** A VM's life through the CLI: data that stays, ports that follow, SSH, many at once. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, test } from "node:test";
import type { HealthView, PortView, VmView } from "../../src/contract/contract.js";
import { connectQmp } from "../../src/effects/vmm/qemu/qmp.js";
import { vmHandles } from "../../src/home/handles.js";
import { pause, systemClock } from "../../src/lib/clock.js";
import { TestHome, until } from "./harness.js";

const home = new TestHome();
after(() => home.dispose());
const small = ["--memory", "384M", "--vcpu", "1"];

/** What the other side sends first. */
function greeting(address: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, address);
    socket.once("data", (data) => {
      socket.destroy();
      resolve(data.toString("utf8"));
    });
    socket.once("error", reject);
  });
}

const listenScript = (port: number, greet: string) =>
  `use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => ${port}, Listen => 5, ReuseAddr => 1) or die $!; ` +
  `while (my $c = $s->accept) { print $c "${greet}\\n"; close $c }`;

test("both disks keep what was written through stop, start, restart and kill", async () => {
  await home.run(["vm", "run", "-d", "--name", "keeper", ...small, "--disk-size", "200M"], {
    timeoutMs: 900_000,
  });
  const exec = (script: string) => home.ok("vm", "exec", "keeper", "--", "sh", "-c", script);
  assert.match(await exec("df -m /root | tail -1"), /\s(1[5-9]\d|200)\s/);
  await exec("echo work > /root/file && echo root > /opt/file && sync");
  const before = await home.vm("keeper");
  await home.ok("vm", "stop", "keeper");
  const stopped = await home.vm("keeper");
  assert.equal(stopped.phase, "stopped");
  assert.equal(stopped.pid, null);
  await home.ok("vm", "start", "keeper");
  assert.equal(await exec("cat /root/file /opt/file"), "work\nroot\n");
  await home.ok("vm", "restart", "keeper");
  assert.equal(await exec("cat /root/file /opt/file; hostname"), "work\nroot\nkeeper\n");
  await home.ok("vm", "kill", "keeper");
  assert.equal((await home.vm("keeper")).lastExit?.reason, "asked");
  await home.ok("vm", "start", "keeper");
  const again = await home.vm("keeper");
  assert.equal(await exec("cat /root/file /opt/file"), "work\nroot\n");
  assert.equal(again.address, before.address);
  const types = (await home.events("keeper")).map(({ type }) => type);
  assert.equal(types.filter((type) => type === "vm.ready").length, 4);
  assert.deepEqual(await home.json("events", "verify"), {
    ok: true,
    events: (await home.json<{ events: number }>("events", "verify")).events,
    differences: [],
  });
});

test("a VM that was waited for has its init up, and says so; one that was not can be waited for", async () => {
  await home.ok("vm", "restart", "keeper", "--wait", "boot");
  const first = ["systemctl", "is-system-running"];
  assert.equal(await home.ok("vm", "exec", "keeper", "--", ...first), "running\n");
  await home.ok("vm", "exec", "keeper", "--", "systemctl", "is-active", "ssh", "dbus.socket");
  const health = await home.json<HealthView>("vm", "health", "keeper");
  assert.deepEqual([health.healthy, health.init], [true, "up"]);
  await home.ok("vm", "restart", "keeper");
  const early = await home.vm("keeper");
  assert.equal(early.bootedAt, null);
  await home.ok("vm", "wait", "keeper", "--timeout", "2m");
  const vm = await home.vm("keeper");
  assert.ok((vm.bootedAt ?? "") > (vm.readyAt ?? ""));
  const late = await home.run(["vm", "wait", "keeper", "--for", "stopped", "--timeout", "1s"]);
  assert.match(late.stderr, /keeper: it has not stopped after 1s/);
});

test("the kernel's devices are there at once, and udev adds to them when the boot is over", async () => {
  const there = "test -c /dev/fuse -a -c /dev/net/tun -a -d /dev/mqueue";
  await home.ok("vm", "exec", "keeper", "--", "sh", "-c", there);
  const named = ["vm", "exec", "keeper", "--", "test", "-e", "/dev/disk/by-id/virtio-work"];
  await until("udev has named the disks", async () => (await home.run(named)).status === 0);
});

test("a guest that somebody stopped goes on, has the host's time again, and the log tells of both", async () => {
  const { id } = await home.vm("keeper");
  const types = async () => (await home.events("keeper")).map(({ type }) => type);
  const before = (await types()).length;
  await home.ok("daemon", "stop");
  const qmp = await connectQmp(vmHandles(home.home, id).qmpSocket, systemClock);
  await qmp.execute("stop");
  qmp.close();
  await pause(6_000);
  await until("the clock is set", async () => (await types()).includes("vm.clock_set"));
  // The command itself may take seconds.
  const asked = Date.now();
  const guestMs = 1000 * Number(await home.ok("vm", "exec", "keeper", "--", "date", "+%s.%N"));
  const range = [asked - 2_000, guestMs, Date.now() + 2_000];
  assert.deepEqual(range.toSorted(), range);
  const told = ["vm.paused", "vm.resumed", "vm.clock_set"];
  const since = (await types()).slice(before).filter((type) => told.includes(type));
  assert.deepEqual(since.slice(0, 3), told);
});

test("ports are forwarded while the guest listens on them", async () => {
  const vm = await home.vm("keeper");
  await home.ok(
    "vm",
    "exec",
    "keeper",
    "--",
    "sh",
    "-c",
    `perl -e '${listenScript(3000, "hello from 3000")}' >/dev/null 2>&1 &`,
  );
  const forwarded = async () =>
    (await home.vm("keeper")).forwards.find(({ guestPort }) => guestPort === 3000);
  await until("port 3000 is forwarded", async () => (await forwarded()) !== undefined);
  assert.equal(await greeting(vm.address, (await forwarded())?.hostPort ?? 0), "hello from 3000\n");
  const ports = await home.json<PortView[]>("vm", "ports", "keeper");
  const listener = ports.find(({ port }) => port === 3000);
  assert.equal(listener?.process, "perl");
  assert.equal(listener?.endpoint, `${vm.address}:3000`);
  await home.ok("vm", "exec", "keeper", "--", "pkill", "perl");
  await until("port 3000 is no longer forwarded", async () => (await forwarded()) === undefined);
  await assert.rejects(greeting(vm.address, 3000));
});

test("ssh reaches the guest with a pinned host key", async () => {
  const inside = await home.run(["vm", "ssh", "keeper", "--", "sh", "-c", "hostname; exit 3"]);
  assert.equal(inside.stdout, "keeper\n", inside.stderr);
  assert.equal(inside.status, 3);
});

test("a guest that powers itself off is stopped, and why says so", async () => {
  await home.run(["vm", "exec", "keeper", "--", "systemctl", "poweroff"]);
  await until("it is stopped", async () => (await home.vm("keeper")).phase === "stopped");
  assert.equal((await home.vm("keeper")).lastExit?.reason, "guest");
  assert.match(await home.ok("vm", "why", "keeper"), /keeper is stopped/);
  await home.ok("vm", "delete", "keeper");
  assert.deepEqual(home.leftovers(), []);
});

test("eight VMs at once become ready, share no address or port, and leave nothing", async () => {
  const names = Array.from({ length: 8 }, (_, n) => `many-${n}`);
  await home.ok("vm", "list");
  const runs = await Promise.all(
    names.map((name) => home.run(["vm", "run", "-d", "--name", name, "--memory", "256M", "--vcpu", "1"])),
  );
  assert.deepEqual(
    runs.map(({ status }) => status),
    names.map(() => 0),
    runs.map(({ stderr }) => stderr).join(),
  );
  const vms = await home.json<VmView[]>("vm", "list");
  assert.deepEqual(
    vms.map(({ phase }) => phase),
    names.map(() => "running"),
  );
  assert.equal(new Set(vms.map(({ address }) => address)).size, 8);
  await until("each has its SSH port", async () =>
    (await home.json<VmView[]>("vm", "list")).every(({ forwards }) => forwards.length > 0),
  );
  const endpoints = (await home.json<VmView[]>("vm", "list")).flatMap(({ address, forwards }) =>
    forwards.map(({ hostPort }) => `${address}:${hostPort}`),
  );
  assert.equal(new Set(endpoints).size, endpoints.length);
  const wrong = await home.run(["vm", "delete", ...names, "no-such-vm", "many-0"]);
  assert.equal(wrong.status, 1);
  assert.match(wrong.stderr, /no-such-vm/);
  assert.deepEqual(await home.json("vm", "list"), []);
  assert.deepEqual(home.leftovers(), []);
});
