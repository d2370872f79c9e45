/** What Firecracker is told: every call is one of its API, and the guest finds all that it needs. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { ApiCall } from "../../src/effects/vmm/firecracker/api.js";
import {
  checkSpec,
  ctrlAltDelCall,
  type FirecrackerMachine,
  machineCalls,
  startCall,
  workResizedCall,
} from "../../src/effects/vmm/firecracker/machine.js";
import { jailFiles, vmHandles } from "../../src/home/handles.js";
import { publicNet } from "../../src/model/net-policy.js";
import { unchecked, wrongWithRequest } from "../doubles/firecracker-api-check.js";
import { reached } from "../reached.js";

const home = { state: "/b/state", data: "/b/data", cache: "/c", config: "/f", runtime: "/r" };
const limit = fc.option(fc.integer({ min: 1, max: 1_048_576 }), { nil: null });

const machines: fc.Arbitrary<FirecrackerMachine> = fc.record({
  handles: fc.constant(vmHandles(home, "0123abcd")),
  spec: fc.record({
    vcpu: fc.integer({ min: 1, max: 32 }),
    memoryMiB: fc.integer({ min: 128, max: 65_536 }),
    diskMiB: fc.constant(1024),
    net: fc.constant(publicNet),
  }),
  bootArguments: fc.constantFrom("", "audit=0"),
  network: fc.constant({
    address: "172.16.0.2",
    prefixLength: 24,
    gateway: "172.16.0.1",
    dns: "1.1.1.1",
  }),
  rateLimits: fc.record({ diskMiB: limit, diskOperations: limit, networkMiB: limit }),
  version: fc.constantFrom("1.10.0", "1.13.9", "1.14.0", "1.16.1", "2.0.0"),
});

const bodyOf = (calls: ApiCall[], path: string) =>
  calls.find((call) => call.path === path)?.body as unknown as Record<string, unknown>;
const example: FirecrackerMachine = {
  handles: vmHandles(home, "0123abcd"),
  spec: { vcpu: 2, memoryMiB: 512, diskMiB: 1024, net: publicNet },
  bootArguments: "audit=0",
  network: { address: "172.16.0.2", prefixLength: 24, gateway: "172.16.0.1", dns: "1.1.1.1" },
  rateLimits: { diskMiB: null, diskOperations: null, networkMiB: null },
  version: "1.16.1",
};

test("every call is one of the published API", { skip: unchecked ?? false }, (t) => {
  const hit = reached(t, { "with limits": 25, "by an old version": 10 });
  const wrong = ({ method, path, body }: ApiCall) => wrongWithRequest(method, path, body);
  for (const call of [startCall, ctrlAltDelCall, workResizedCall]) assert.deepEqual(wrong(call), []);
  assert.notDeepEqual(wrongWithRequest("PUT", "/vsock", { guest_cid: 2, uds_path: "/v" }), []);
  assert.notDeepEqual(wrongWithRequest("PUT", "/vsock", { guest_cid: 3, uds_path: "/v", more: 1 }), []);
  assert.notDeepEqual(wrongWithRequest("PUT", "/nothing", {}), []);
  fc.assert(
    fc.property(machines, (machine) => {
      const { rateLimits, version } = machine;
      if (Object.values(rateLimits).some((limit) => limit !== null)) hit("with limits");
      if (/^1\.1[0-3]\./.test(version)) hit("by an old version");
      for (const call of machineCalls(machine)) assert.deepEqual(wrong(call), [], call.path);
    }),
  );
});

describe("machineCalls", () => {
  test("the disks are told in the order in which the guest names them, and all that may be written is flushed", () => {
    const calls = machineCalls(example).filter(({ path }) => path.startsWith("/drives/"));
    const told = calls.map(({ body }) => body as unknown as Record<string, unknown>);
    assert.deepEqual(
      told.map(({ drive_id, path_on_host, is_read_only }) => [drive_id, path_on_host, is_read_only]),
      [
        ["root", jailFiles.root, false],
        ["work", jailFiles.work, false],
        ["seed", jailFiles.seed, true],
      ],
    );
    assert.ok(told.every(({ cache_type }) => cache_type === "Writeback"));
  });

  test("the kernel is told where root, work, seed and network are, and what the image wants", () => {
    const { boot_args } = bodyOf(machineCalls(example), "/boot-source");
    for (const words of [
      "console=ttyS0 quiet panic=-1 pci=off reboot=k",
      "audit=0",
      "banger.root=vda banger.work=vdb banger.seed=vdc",
      "banger.ip=172.16.0.2/24 banger.gw=172.16.0.1 banger.dns=1.1.1.1",
    ])
      assert.ok(` ${boot_args} `.includes(` ${words} `), words);
  });

  test("the guest's card is the VM's tap, with the address that the bridge expects there", () => {
    assert.deepEqual(bodyOf(machineCalls(example), "/network-interfaces/net0"), {
      iface_id: "net0",
      host_dev_name: "tap-fc-0123abcd",
      guest_mac: "06:fc:01:23:ab:cd",
    });
  });

  test("nothing is limited but what is asked for", () => {
    const without = JSON.stringify(machineCalls(example));
    assert.doesNotMatch(without, /rate_limiter/);
    const rateLimits = { diskMiB: 100, diskOperations: 5000, networkMiB: 10 };
    const calls = machineCalls({ ...example, rateLimits });
    assert.deepEqual(bodyOf(calls, "/drives/work")["rate_limiter"], {
      bandwidth: { size: 104_857_600, refill_time: 1000 },
      ops: { size: 5000, refill_time: 1000 },
    });
    const rate = { bandwidth: { size: 10_485_760, refill_time: 1000 } };
    const { rx_rate_limiter, tx_rate_limiter } = bodyOf(calls, "/network-interfaces/net0");
    assert.deepEqual([rx_rate_limiter, tx_rate_limiter], [rate, rate]);
  });

  test("only a Firecracker that knows it is told to take reports of unused memory", () => {
    const reports = (version: string) =>
      "free_page_reporting" in bodyOf(machineCalls({ ...example, version }), "/balloon");
    assert.deepEqual(["1.10.0", "1.13.1", "1.14.0", "2.0.0"].map(reports), [false, false, true, true]);
  });
});

test("more CPUs than Firecracker has are refused before anything is started", () => {
  checkSpec({ ...example.spec, vcpu: 32 });
  assert.throws(() => checkSpec({ ...example.spec, vcpu: 33 }), { code: "too_many_vcpus", retry: "never" });
});
