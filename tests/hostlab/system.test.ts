/** System mode from its installation to its end, on a host of its own: each test continues where the one before stopped. */
import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import type { VmView } from "../../src/contract/contract.js";
import type { DaemonView } from "../../src/contract/daemon.js";
import { shellQuote } from "../../src/lib/shell.js";
import { unchecked, wrongWithRequest } from "../doubles/firecracker-api-check.js";
import { until } from "../e2e/harness.js";
import { installVmm, realFirecracker } from "./doubles.js";
import { type Facts, factsOf } from "./facts.js";
import type { Lab } from "./lab.js";
import { differences, type Snapshot, snapshot } from "./snapshot.js";
import { stepsInLab } from "./steps.js";

let lab: Lab;
let pristine: Snapshot;

const size = "--vcpu 1 --memory 384M --disk-size 256M";
const doubled = realFirecracker === undefined && "doubles run no guests: set BANGER_TEST_FIRECRACKER";
const step = stepsInLab((booted) => {
  lab = booted;
});

const vm = (name: string): Promise<VmView> => lab.bangerJson<VmView>(`vm show ${name}`);
const inGuest = (name: string, script: string) =>
  lab.banger(`vm exec ${name} -- sh -c ${shellQuote(script)}`);
async function guestOk(name: string, script: string): Promise<string> {
  return lab.bangerOk(`vm exec ${name} -- sh -c ${shellQuote(script)}`);
}
const answers = async (address: string) => (await lab.root(`ping -c 1 -W 10 ${address}`)).status === 0;
const serves = () => lab.banger("daemon status").then(({ status }) => status === 0);

/** Resource usage a slow lab to put the last things away. */
const tidyMs = 90_000;

/** The host comes to have what belongs to these VMs, ways out for `nats` among them, and nothing of any other. */
async function assertFacts(vms: readonly VmView[], nats: readonly VmView[]): Promise<Facts> {
  const ids = vms.map(({ id }) => id).sort();
  const expected = {
    ...{ taps: ids, devices: ids, loops: ids, jails: ids, cgroups: ids, running: ids },
    nats: nats.map(({ address }) => address).sort(),
  };
  const end = Date.now() + tidyMs;
  for (;;) {
    const { vmms, ...rest } = await factsOf(lab);
    const found = { ...rest, running: vmms.map((line) => line.split(" ")[0]) };
    if (isDeepStrictEqual(found, expected)) return { vmms, ...rest };
    if (Date.now() > end) assert.deepEqual(found, expected);
  }
}

step("it is installed as the README says, and everything runs", async (t) => {
  t.diagnostic(realFirecracker === undefined ? "VMs are doubles" : "VMs are guests of a real Firecracker");
  await lab.installTree();
  await installVmm(lab, lab.scratch);
  pristine = await snapshot(lab);
  await lab.ok("banger system install --owner ann");
  const status = JSON.parse(await lab.ok("banger system status --json")) as { problems: string[] };
  assert.deepEqual(status.problems, []);
  const { vmm } = await lab.bangerJson<DaemonView>("daemon status");
  assert.equal(vmm, "firecracker");
  for (const [unit, most] of [
    ["bangerd", 2.5],
    ["banger-helper", 5],
  ] as const) {
    const text = await lab.ok(`systemd-analyze security --no-pager ${unit}.service | tail -n 1`);
    const exposure = Number(/: ([\d.]+) /.exec(text)?.[1]);
    t.diagnostic(text.trim());
    assert.ok(exposure <= most, text);
  }
  // The image that came with the lab stands for one that was pulled.
  await lab.ok(
    "mv /opt/guest-images/* /var/lib/banger/data/images/; chown -R ann:ann /var/lib/banger/data/images",
  );
});

step("two VMs boot in their jails, with tap, device and way out each", async () => {
  await lab.bangerOk(`vm run -d --name a ${size}`);
  await lab.bangerOk(`vm run -d --name b --no-nat ${size}`);
  const [a, b] = [await vm("a"), await vm("b")];
  assert.deepEqual([a.phase, b.phase], ["running", "running"]);
  const { vmms } = await assertFacts([a, b], [a]);
  for (const line of vmms) {
    const pid = line.split(" ")[1];
    const status = await lab.ok(`cat /proc/${pid}/status`);
    assert.match(status, /^Uid:\t1000\t1000\t1000\t1000$/m);
    assert.match(status, /^CapEff:\t0+$/m);
  }
  assert.ok((await answers(a.address)) && (await answers(b.address)));
  // What is below and on the root devices is known to udev by name alone: it has not read them.
  const known = await lab.ok(
    "udevadm settle; for node in /dev/mapper/fc-rootfs-* $(losetup -nO NAME); do udevadm info $node; done",
  );
  for (const node of [/^N: dm-/m, /^N: loop/m]) assert.match(known, node);
  assert.doesNotMatch(known, /ID_FS_/);
});

step("the host knows them by name, through its own resolver", async () => {
  const { address } = await vm("a");
  assert.equal((await lab.ok("getent ahostsv4 a.vm")).split(/\s/)[0], address);
  assert.notEqual((await lab.root("getent hosts nobody.vm")).status, 0);
});

step(
  "a command's output and status come out of a VM that is gone afterwards",
  async () => {
    const { status, stdout } = await lab.banger(
      `vm run --rm ${size} -- sh -c ${shellQuote("uname -n; exit 7")}`,
    );
    assert.equal(status, 7);
    assert.match(stdout, /^[a-z]+-[a-z]+$/m);
    await assertFacts([await vm("a"), await vm("b")], [await vm("a")]);
  },
  doubled,
);

step(
  "guests reach each other and the host, and the outside only where they may",
  async () => {
    const outside = "192.0.2.2";
    await lab.ok(`ip netns add outside; ip link add out0 type veth peer name eth0 netns outside
    ip address add 192.0.2.1/24 dev out0; ip link set out0 up
    ip -n outside address add ${outside}/24 dev eth0; ip -n outside link set eth0 up`);
    const { address } = await vm("b");
    await guestOk("a", `ping -c 1 -W 10 ${address}`);
    await guestOk("b", "ping -c 1 -W 10 172.16.0.1");
    await guestOk("a", `ping -c 1 -W 10 ${outside}`);
    const refused = async (script: string) => {
      const { status, stdout } = await inGuest("b", script);
      assert.deepEqual([status, /, 0 received/.test(stdout)], [1, true], stdout);
    };
    await refused(`ping -c 1 -W 3 ${outside}`);
    await refused("ip address add 172.16.0.77/24 dev eth0; ping -c 1 -W 3 -I 172.16.0.77 172.16.0.1");
    await lab.ok("ip link del out0; ip netns del outside");
  },
  doubled,
);

step(
  "ssh reaches a guest with its pinned key",
  async () => {
    assert.equal(await lab.bangerOk("vm ssh a -- hostname"), "a\n");
  },
  doubled,
);

step("a daemon that is killed finds its VMs running", async () => {
  const { vmms } = await factsOf(lab);
  await lab.ok("kill -KILL $(systemctl show --property MainPID --value bangerd)");
  await until("systemd has started another daemon", serves, 180_000);
  assert.deepEqual((await factsOf(lab)).vmms, vmms);
  assert.deepEqual([(await vm("a")).phase, (await vm("b")).phase], ["running", "running"]);
  assert.match(await lab.bangerOk("events a --json"), /"vm.adopted"/);
});

step(
  "a helper that is killed is started by the next call, and both can be restarted under running VMs",
  async () => {
    const { vmms } = await factsOf(lab);
    await lab.ok("kill -KILL $(systemctl show --property MainPID --value banger-helper)");
    await lab.bangerOk(`vm run -d --name c ${size}`);
    await lab.ok("systemctl restart banger-helper bangerd");
    await until("the daemon serves", serves, 180_000);
    const [a, b, c] = [await vm("a"), await vm("b"), await vm("c")];
    const facts = await assertFacts([a, b, c], [a, c]);
    assert.deepEqual(
      vmms.filter((line) => !facts.vmms.includes(line)),
      [],
    );
    await lab.ok("banger system restart");
    assert.deepEqual((await factsOf(lab)).vmms, facts.vmms);
  },
);

step(
  "what is stopped, killed, or dies has nothing left on the host but its disks, and starts again",
  async () => {
    await lab.bangerOk("vm stop b");
    await lab.bangerOk("vm kill c");
    await assertFacts([await vm("a")], [await vm("a")]);
    await lab.bangerOk("vm start b");
    await lab.ok("pkill -KILL -x firecracker");
    await until("both are seen to have ended", async () => {
      const phases = [(await vm("a")).phase, (await vm("b")).phase];
      return phases.every((phase) => phase === "stopped");
    });
    await assertFacts([], []);
    await lab.bangerOk("vm delete c");
    await lab.bangerOk("vm start a");
    const { id } = await vm("a");
    assert.deepEqual(
      (await lab.ok("ls /var/lib/banger/state/vms")).trim().split("\n").sort(),
      [id, (await vm("b")).id].sort(),
    );
  },
);

step("after a power cut the host has its VMs, and nothing of their last run", async () => {
  await assertFacts([await vm("a")], [await vm("a")]);
  if (!doubled) await guestOk("a", "echo kept >/root/kept; sync");
  await lab.cutPower();
  await until("the daemon serves", serves, 180_000);
  await until("VMs that ran are known to have ended", async () => (await vm("a")).phase === "stopped");
  await assertFacts([], []);
  await lab.bangerOk("vm start a");
  if (!doubled) assert.equal(await guestOk("a", "cat /root/kept"), "kept\n");
  await assertFacts([await vm("a")], [await vm("a")]);
});

step(
  "Firecracker is asked only for what its published API has",
  async (t) => {
    if (unchecked !== undefined) t.diagnostic(unchecked);
    const lines = (await lab.ok("cat /var/lib/banger/state/vms/*/vmm.log")).split("\n");
    const requests = lines.flatMap((line) => {
      const [, method = "", target = "", body = ""] = /^request (\S+) (\S+) (.*)$/.exec(line) ?? [];
      return method === "" ? [] : [{ method, target, body: JSON.parse(body) as unknown }];
    });
    assert.ok(requests.some(({ body }) => JSON.stringify(body).includes("InstanceStart")));
    assert.deepEqual(
      requests.flatMap(({ method, target, body }) => wrongWithRequest(method, target, body)),
      [],
    );
  },
  realFirecracker !== undefined && "the real one refuses what it does not know",
);

step("uninstalled, it leaves the host as it was", async () => {
  await lab.ok("banger system uninstall --purge --yes");
  assert.deepEqual(differences(pristine, await snapshot(lab)), []);
});
