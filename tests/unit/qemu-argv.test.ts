/** The QEMU command line: whatever the machine, it opens nothing to the outside and keeps options apart. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { hostTscKHz, type QemuMachine, qemuArgv } from "../../src/effects/vmm/qemu/argv.js";
import { parseOption } from "../../src/effects/vmm/qemu/signs.js";
import { vmHandles } from "../../src/home/handles.js";
import { publicNet } from "../../src/model/net-policy.js";

import { reached } from "../reached.js";

const homeOf = (root: string) => ({
  state: `${root}/s`,
  data: "/d",
  cache: "/c",
  config: "/f",
  runtime: `${root}/r`,
});

const anyHandles = fc
  .array(fc.constantFrom("a", ",", ",,", " ", "=", "é", "/b"), { maxLength: 12 })
  .map((parts) => vmHandles(homeOf(`/${parts.join("")}`), "0123abcd"));
const guest = { address: "172.16.0.7", prefixLength: 24, gateway: "172.16.0.1", dns: "9.9.9.9" };

const hosts: fc.Arbitrary<Omit<QemuMachine, "handles" | "root">> = fc.record({
  network: fc.constantFrom<QemuMachine["network"]>({ kind: "process" }, { kind: "tap", guest }),
  spec: fc.record({
    vcpu: fc.integer({ min: 1, max: 64 }),
    memoryMiB: fc.integer({ min: 128, max: 65_536 }),
    diskMiB: fc.constant(1024),
    net: fc.constant(publicNet),
  }),
  accelerator: fc.constantFrom("kvm" as const, "tcg" as const),
  tscKHz: fc.option(fc.integer({ min: 1, max: 9_999_999 }), { nil: undefined }),
  kernel: fc.constant("/d/vmlinux"),
  initrd: fc.constant("/d/initrd.cpio"),
  bootArguments: fc.constantFrom("", "audit=0"),
});
const machines: fc.Arbitrary<QemuMachine> = fc
  .tuple(hosts, anyHandles, fc.boolean())
  .map(([host, handles, overlay]) => ({
    ...host,
    handles,
    root: overlay
      ? { format: "qcow2", path: handles.rootDisk }
      : { format: "raw", path: `${handles.directory}/root.raw` },
  }));

test("every path stays one option, whatever commas it has", (t) => {
  const hit = reached(t, { commas: 25 });
  fc.assert(
    fc.property(machines, (machine) => {
      const options = qemuArgv(machine).flatMap(parseOption);
      const { handles } = machine;
      if (machine.root.path.includes(",")) hit("commas");
      for (const path of ["/proc/self/fd/1", "qmp.sock", "agent.sock"])
        assert.ok(options.includes(`path=${path}`));
      for (const path of [machine.root.path, handles.workDisk, handles.seed])
        assert.ok(options.includes(`file=${path}`));
    }),
  );
});

test("no port is opened, QEMU has no network of its own, and nothing skips flushes or bounds", (t) => {
  const hit = reached(t, { process: 25, tap: 25 });
  fc.assert(
    fc.property(machines, (machine) => {
      const argv = qemuArgv(machine);
      const card = argv[argv.indexOf("-netdev") + 1];
      const own =
        "dgram,id=net0,local.type=unix,local.path=net-qemu.sock,remote.type=unix,remote.path=net.sock";
      const tap = "tap,id=net0,ifname=tap-fc-0123abcd,script=no,downscript=no";
      assert.equal(card, machine.network.kind === "process" ? own : tap);
      hit(machine.network.kind);
      assert.ok(!argv.some((argument) => /hostfwd|guestfwd|cache=unsafe|cache\.no-flush/.test(argument)));
      const drives = argv.filter((argument) => argument.startsWith("if=none"));
      assert.deepEqual(
        drives.map((drive) => drive.includes("readonly=on")),
        [false, false, true],
      );
      assert.ok(argv.includes("-no-reboot"));
    }),
  );
});

test("on a tap the guest has the address that the host lets through, from the card that belongs to it", (t) => {
  const hit = reached(t, { bridged: 25 });
  fc.assert(
    fc.property(machines, (machine) => {
      const argv = qemuArgv(machine);
      const kernel = argv[argv.indexOf("-append") + 1] ?? "";
      const bridged = machine.network.kind === "tap";
      if (bridged) hit("bridged");
      assert.equal(
        /banger\.ip=172\.16\.0\.7\/24 banger\.gw=172\.16\.0\.1 banger\.dns=9\.9\.9\.9/.test(kernel),
        bridged,
      );
      const device = `virtio-net-device,netdev=net0,mac=${machine.handles.mac}`;
      assert.ok(argv.includes(bridged ? device : `${device},host_mtu=32000`));
    }),
  );
});

test("what only an emulated CPU needs is not told to a real one", (t) => {
  const hit = reached(t, { emulated: 20, real: 20, "real, its counter known": 8 });
  fc.assert(
    fc.property(machines, (machine) => {
      const argv = qemuArgv(machine);
      const kernel = argv[argv.indexOf("-append") + 1] ?? "";
      const emulated = machine.accelerator === "tcg";
      hit(emulated ? "emulated" : "real");
      if (!emulated && machine.tscKHz !== undefined) hit("real, its counter known");
      assert.equal(/mitigations=off/.test(kernel), emulated);
      assert.equal(/tsc_early_khz=/.test(kernel), emulated && machine.tscKHz !== undefined);
    }),
  );
});

test("the counter's frequency comes from bogomips", () => {
  assert.equal(hostTscKHz("cpu MHz\t\t: 800.000\nbogomips\t: 5192.24\n"), 2_596_120);
  assert.equal(hostTscKHz("BogoMIPS\t: 50.00\n"), undefined);
});
