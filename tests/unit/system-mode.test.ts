/** System mode in the pure core: what a start makes, in which order all of it goes, and the way out of a guest that runs. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { nothingLeft, noticeVm } from "../../src/core/notice.js";
import { failureFacts } from "../../src/core/plan.js";
import { initialState } from "../../src/core/projection.js";
import { addressAt, addressCount, bridgeRange } from "../../src/home/addresses.js";
import { absentVm } from "../../src/model/absent.js";
import { openKey } from "../../src/model/fits.js";
import type { Effect, ObservedVm, Vm } from "../../src/model/model.js";
import { reconcileVm } from "../../src/reconcilers/index.js";
import { bridged, imageId, seenBridged, spec, t0, vmAfterTypes, vmId, ways } from "../fixtures.js";

const present = { is: "present" } as const;
const absent = { is: "absent" } as const;
const unknown = { is: "unknown", cause: "the helper does not answer" } as const;
const whole = { ...present, whole: true };
const partly = { ...present, whole: false };
const at = (position: string): Vm => vmAfterTypes(...(ways[position] ?? []));
const offline = (vm: Vm): Vm => ({ ...vm, spec: { ...vm.spec, net: { ...vm.spec.net, mode: "none" } } });
const kinds = (vm: Vm, seen: ObservedVm) => reconcileVm(vm, seen, bridged, t0).map(({ kind }) => kind);
const facts = (vm: Vm, seen: ObservedVm) => noticeVm(vm, seen, bridged, t0).map(({ type }) => type);

/** A host that was just restarted: of what a start made only the files are left. */
const files: ObservedVm = {
  ...seenBridged,
  ...{ rootDevice: absent, network: absent, policy: absent, runtime: absent },
  ...{ process: absent, agent: absent, listeners: absent },
};
const disks: ObservedVm = { ...files, runtime: whole };
const device: ObservedVm = { ...disks, rootDevice: whole };
const card: ObservedVm = { ...device, network: whole, policy: { ...present, key: openKey, fresh: true } };

describe("a start", () => {
  test("makes disks, root device, tap and way out, process; each step is told once its things are there", () => {
    assert.deepEqual(kinds(at("starting.disk"), absentVm), ["ensureDisk"]);
    assert.deepEqual(kinds(at("starting.disk"), disks), ["ensureRootDevice"]);
    assert.deepEqual(facts(at("starting.disk"), disks), []);
    assert.deepEqual(facts(at("starting.disk"), device), ["vm.disk_attached"]);
    assert.deepEqual(kinds(at("starting.network"), device), ["ensureNetwork", "ensurePolicy"]);
    assert.deepEqual(facts(at("starting.network"), { ...card, policy: absent }), []);
    assert.deepEqual(facts(at("starting.network"), card), ["vm.network_attached"]);
    assert.deepEqual(kinds(at("starting.process"), card), ["ensureProcess"]);
  });

  test("a part of a device or tap is none, and is made whole", () => {
    assert.deepEqual(kinds(at("starting.disk"), { ...device, rootDevice: partly }), ["ensureRootDevice"]);
    assert.deepEqual(facts(at("starting.disk"), { ...device, rootDevice: partly }), []);
    assert.deepEqual(kinds(at("starting.network"), { ...card, network: partly }), ["ensureNetwork"]);
    assert.deepEqual(facts(at("starting.network"), { ...card, network: partly }), []);
  });

  test("a jail that is left makes no place for sockets", () => {
    assert.deepEqual(kinds(at("starting.disk"), { ...device, runtime: partly }), ["ensureDisk"]);
    assert.deepEqual(facts(at("starting.disk"), { ...device, runtime: partly }), []);
    assert.deepEqual(kinds(at("stopped"), { ...files, runtime: partly }).slice(0, 1), ["ensureNoRuntime"]);
  });

  test("a VM without a way out has none, not even that of an earlier start", () => {
    const vm = offline(at("starting.network"));
    assert.deepEqual(kinds(vm, card), ["ensureNoPolicy"]);
    assert.deepEqual(facts(vm, card), []);
    assert.deepEqual(facts(vm, { ...card, policy: absent }), ["vm.network_attached"]);
    assert.deepEqual(facts(vm, { ...card, policy: unknown }), []);
  });

  test("after a restart of the host it makes all but the files anew, whatever step it had come to", () => {
    for (const step of ["disk", "network", "process"]) {
      const made = kinds(at(`starting.${step}`), files);
      assert.deepEqual(
        made,
        ["ensureDisk", "ensureRootDevice", ...(step === "disk" ? [] : ["ensureNetwork", "ensurePolicy"])],
        step,
      );
    }
  });

  test("no VMM is started while one thing is missing that the steps before made; that is made again", () => {
    const missing = {
      rootDevice: "ensureRootDevice",
      network: "ensureNetwork",
      policy: "ensurePolicy",
      seed: "ensureDisk",
    } as const;
    for (const [handle, effect] of Object.entries(missing))
      assert.deepEqual(kinds(at("starting.process"), { ...card, [handle]: absent }), [effect]);
    assert.deepEqual(kinds(at("starting.process"), { ...card, rootDevice: partly }), ["ensureRootDevice"]);
    assert.deepEqual(kinds(at("starting.process"), { ...card, network: partly }), ["ensureNetwork"]);
  });

  test("where the helper does not answer it tries, and so learns why not", () => {
    const blind = { rootDevice: unknown, network: unknown, policy: unknown };
    assert.deepEqual(kinds(at("starting.disk"), { ...disks, ...blind }), ["ensureRootDevice"]);
    assert.deepEqual(kinds(at("starting.network"), { ...disks, ...blind }).slice(-2), [
      "ensureNetwork",
      "ensurePolicy",
    ]);
  });

  test("fails with what it cannot make, but a guest does not end with what is mended under it", () => {
    const failure = { code: "broken", message: "it broke", retry: "later" } as const;
    const told = (position: string, effect: Effect) => {
      const state = { ...initialState, vms: { [vmId]: at(position) } };
      return failureFacts(state, effect, failure, { final: true, say: true, untold: 0 }).map(
        ({ type, data }) => [type, "step" in data ? data.step : undefined],
      );
    };
    const address = "172.16.0.2";
    const failed = (step: string) => [["vm.step_failed", step]];
    assert.deepEqual(told("starting.disk", { kind: "ensureRootDevice", vmId, imageId }), failed("disk"));
    assert.deepEqual(told("starting.network", { kind: "ensureNetwork", vmId, address }), failed("network"));
    assert.deepEqual(
      told("starting.network", { kind: "ensurePolicy", vmId, address, net: spec.net }),
      failed("network"),
    );
    for (const position of ["starting.agent", "running"])
      assert.deepEqual(told(position, { kind: "ensurePolicy", vmId, address, net: spec.net }), [
        ["vm.effect_failed", undefined],
      ]);
  });
});

describe("a guest that boots or runs", () => {
  test("gets its way out opened and closed under it, and back what the host has lost", () => {
    for (const position of ["starting.agent", "running"]) {
      const vm = at(position);
      assert.deepEqual(kinds(vm, seenBridged), []);
      assert.deepEqual(kinds(offline(vm), seenBridged), ["ensureNoPolicy"]);
      assert.deepEqual(kinds(vm, { ...seenBridged, policy: absent }), ["ensurePolicy"]);
      assert.deepEqual(kinds(vm, { ...seenBridged, network: partly, policy: absent }), [
        "ensureNetwork",
        "ensurePolicy",
      ]);
      assert.deepEqual(kinds(vm, { ...seenBridged, network: unknown, policy: unknown }), []);
    }
  });

  test("keeps everything while it shuts down", () => {
    assert.deepEqual(kinds(at("stopping"), seenBridged), ["ensureShutdownAsked"]);
  });
});

describe("an end", () => {
  test("goes from the process down: tap, way out and device, then the sockets, then the directory", () => {
    const vm = at("deleting");
    const { process, network, policy, rootDevice, runtime, directory } = absentVm;
    let seen: ObservedVm = seenBridged;
    const then = (change: Partial<ObservedVm>) => {
      seen = { ...seen, ...change };
      return kinds(vm, seen);
    };
    assert.deepEqual(then({}), ["ensureNoProcess"]);
    assert.deepEqual(then({ process }), ["ensureNoRootDevice", "ensureNoNetwork", "ensureNoPolicy"]);
    assert.deepEqual(then({ network, policy }), ["ensureNoRootDevice"]);
    assert.deepEqual(then({ rootDevice: partly }), ["ensureNoRootDevice"]);
    assert.deepEqual(then({ rootDevice }), ["ensureNoRuntime"]);
    assert.deepEqual(then({ runtime }), ["ensureNoDirectory"]);
    assert.equal(nothingLeft(seen), false);
    assert.deepEqual(then({ directory }), []);
    assert.equal(nothingLeft(seen), true);
  });

  test("nothing below a handle of which nobody can tell is taken away, and the VM is not gone", () => {
    for (const handle of ["network", "policy", "rootDevice"] as const) {
      const seen = { ...disks, [handle]: unknown };
      assert.deepEqual(kinds(at("deleting"), seen), []);
      assert.deepEqual(facts(at("deleting"), { ...absentVm, [handle]: unknown }), []);
    }
  });

  test("takes down what is left of another way to run VMs, too", () => {
    const user = { ...bridged, netPolicies: true, rootDevice: false };
    assert.deepEqual(
      reconcileVm(at("stopped"), { ...card, directory: absent }, user, t0).map(({ kind }) => kind),
      ["ensureNoRootDevice", "ensureNoNetwork", "ensureNoPolicy"],
    );
  });
});

test("the effects carry what the helper is to be asked for", () => {
  const { address } = at("starting.network");
  assert.deepEqual(reconcileVm(at("starting.network"), device, bridged, t0), [
    { kind: "ensureNetwork", vmId, address },
    { kind: "ensurePolicy", vmId, address, net: spec.net },
  ]);
  assert.deepEqual(reconcileVm(at("starting.disk"), disks, bridged, t0), [
    { kind: "ensureRootDevice", vmId, imageId },
  ]);
});

test("addresses of a bridge are all hosts of its network but itself", () => {
  const range = bridgeRange("172.16.0.1", 24);
  assert.equal(addressCount(range), 253);
  assert.deepEqual([addressAt(range, 1), addressAt(range, 253)], ["172.16.0.2", "172.16.0.254"]);
  const middle = bridgeRange("10.0.0.3", 29);
  const all = Array.from({ length: addressCount(middle) }, (_, index) => addressAt(middle, index + 1));
  assert.deepEqual(all, ["10.0.0.1", "10.0.0.2", "10.0.0.4", "10.0.0.5", "10.0.0.6"]);
  assert.equal(addressAt(bridgeRange("10.0.0.1", 8), 16_777_213), "10.255.255.254");
  assert.equal(addressCount(bridgeRange("10.0.0.1", 31)), 0);
});
