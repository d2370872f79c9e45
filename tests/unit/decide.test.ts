/** Decisions: given a state, when a command comes, then these events, none, or a refusal. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { type CreateCommand, decide, type VmVerb } from "../../src/core/decide.js";
import { resolveVm } from "../../src/core/refs.js";
import { bridgeRange, loopbackRange } from "../../src/home/addresses.js";
import { event, type NewEvent, vmStream } from "../../src/model/events.js";
import type { State } from "../../src/model/model.js";
import {
  given,
  imageId,
  position,
  sample,
  spec,
  timeouts,
  vmAfterTypes,
  vmId,
  ways,
  withImage,
} from "../fixtures.js";
import { reached } from "../reached.js";

const create = (n: number, more: Partial<CreateCommand> = {}): CreateCommand => ({
  kind: "create",
  commandId: `command-${n}`,
  vmId: n.toString(16).padStart(8, "0"),
  name: `vm-${n}`,
  image: "debian-slim",
  spec,
  start: false,
  addresses: loopbackRange(7),
  ...more,
});
const decided = (state: State, command: Parameters<typeof decide>[1]) => decide(state, command, timeouts);
const after = (state: State, ...commands: CreateCommand[]): State =>
  commands.reduce((before, command) => given(decided(before, command), 0, before), state);
const typesOf = (events: readonly NewEvent[]) => events.map(({ type }) => type);

describe("set", () => {
  const made = after(withImage, create(1));
  const set = (changes: object, state = made) => decided(state, { kind: "set", vmId: "00000001", changes });

  test("keeps what it does not name, and says nothing when nothing changes", () => {
    assert.deepEqual(set({ vcpu: 3, diskMiB: 4096 }), [
      event("vm/00000001", "vm.spec_changed", { spec: { ...spec, vcpu: 3, diskMiB: 4096 } }),
    ]);
    assert.deepEqual(set({ ...spec }), []);
    const closed = given(set({ net: { mode: "none" } }), 0, made).vms["00000001"]?.spec;
    assert.deepEqual(closed, { ...spec, net: { mode: "none", allow: [], deny: [] } });
    assert.deepEqual(set({ net: { mode: "public", allow: [] } }), []);
  });

  test("no disk shrinks, and a VM that is being deleted stays as it is", () => {
    assert.throws(() => set({ diskMiB: spec.diskMiB - 1 }), { code: "disk_shrinks" });
    const larger = given(set({ rootMiB: 4096 }), 0, made);
    assert.throws(() => set({ rootMiB: 2048 }, larger), { code: "disk_shrinks" });
    assert.deepEqual(set({ rootMiB: 4096 }, larger), []);
    const deleting = given(decided(made, { kind: "delete", vmId: "00000001" }), 0, made);
    assert.throws(() => set({ vcpu: 2 }, deleting), { code: "not_now" });
  });
});

describe("create", () => {
  test("makes a VM of the newest ready image, and starts it where that is asked for", () => {
    const [created, start, ...rest] = decided(withImage, create(1, { start: true }));
    assert.deepEqual(created?.data, {
      vmId: "00000001",
      name: "vm-1",
      imageId,
      spec,
      address: "127.7.0.1",
      addressIndex: 1,
      commandId: "command-1",
    });
    assert.deepEqual(start, event("vm/00000001", "vm.start_requested", { bootTimeoutMs: 60_000 }));
    assert.deepEqual(rest, []);
    assert.deepEqual(typesOf(decided(withImage, create(1))), ["vm.created"]);
  });

  test("a second run of the same command creates nothing, whatever else it says", () => {
    const state = after(withImage, create(1));
    const again = create(2, { commandId: "command-1", start: true, image: "nothing" });
    assert.deepEqual(decided(state, again), []);
  });

  test("is refused without its image, naming the command that pulls it", () => {
    for (const state of [given([]), given([sample("image.pull_requested")])]) {
      assert.throws(() => decided(state, create(1)), {
        code: "image_missing",
        hint: "banger image pull debian-slim",
      });
    }
  });

  test("an id is never given out twice, not even that of a deleted VM", () => {
    const state = given(
      [sample("vm.delete_requested"), sample("vm.deleted")],
      0,
      given([sample("vm.created")], 0, withImage),
    );
    assert.throws(() => decided(state, create(9, { vmId })), { code: "id_taken", retry: "later" });
  });

  test("a name of a live VM is refused, or the next candidate is taken; a deleted VM's name is free", () => {
    const state = after(withImage, create(1, { name: "ann" }));
    assert.throws(() => decided(state, create(2, { name: "ann" })), {
      code: "name_taken",
      hint: /^banger vm start ann, or another --name$/,
    });
    const nameOf = (candidates: string[]) =>
      (decided(state, create(2, { name: candidates }))[0]?.data as { name: string }).name;
    assert.equal(nameOf(["ann", "bob"]), "bob");
    assert.equal(nameOf(["ann"]), "vm-00000002");
    const stream = vmStream("00000001");
    const gone = given([event(stream, "vm.delete_requested", {}), event(stream, "vm.deleted", {})], 0, state);
    assert.deepEqual(typesOf(decided(gone, create(2, { name: "ann" }))), ["vm.created"]);
  });

  test("addresses go on after the last one, wrap around and skip those in use", () => {
    const last = 65_534;
    const held = after({ ...withImage, lastAddressIndex: last - 1 }, create(1), create(2), create(3));
    const indexes = Object.values(held.vms).map((vm) => vm.addressIndex);
    assert.deepEqual(indexes, [last, 1, 2]);
    assert.deepEqual(
      Object.values(held.vms).map((vm) => vm.address),
      ["127.7.255.254", "127.7.0.1", "127.7.0.2"],
    );
    const wrapped = after({ ...held, lastAddressIndex: last - 1 }, create(4));
    assert.equal(wrapped.vms["00000004"]?.addressIndex, 3);
  });

  test("when every address is held, a create is refused", () => {
    const one = vmAfterTypes();
    const vms = Array.from({ length: 65_534 }, (_, n) => [
      String(n),
      { ...one, name: String(n), addressIndex: n + 1 },
    ]);
    const full = { ...withImage, vms: Object.fromEntries(vms) };
    assert.throws(() => decided(full, create(2)), { code: "addresses_exhausted" });
  });

  test("a small network gives freed addresses again, and none that an older network gave", () => {
    const addresses = bridgeRange("172.16.0.1", 29);
    const on = (n: number) => create(n, { addresses });
    const five = after(withImage, on(1), on(2), on(3), on(4), on(5));
    const held = (state: State) => Object.values(state.vms).map((vm) => vm.address.slice(-1));
    assert.deepEqual(held(five), ["2", "3", "4", "5", "6"]);
    assert.throws(() => decided(five, on(6)), { code: "addresses_exhausted" });
    const stream = vmStream("00000002");
    const freed = given([event(stream, "vm.delete_requested", {}), event(stream, "vm.deleted", {})], 0, five);
    assert.equal(after(freed, on(6)).vms["00000006"]?.address, "172.16.0.3");
    // The bridge has moved up: what is number 3 now was number 2 then.
    const moved = { ...on(6), addresses: bridgeRange("172.16.0.6", 29) };
    const older = after({ ...withImage, lastAddressIndex: 0 }, on(1), on(2));
    assert.deepEqual(held(older), ["2", "3"]);
    assert.equal(after(older, moved).vms["00000006"]?.address, "172.16.0.4");
  });
});

test("after any commands no two live VMs share a name, an address or an id", (t) => {
  const hit = reached(t, { several: 15, wrapped: 15, "taken again": 6 });
  const step = fc.record({
    n: fc.integer({ min: 1, max: 9 }),
    name: fc.constantFrom("ann", "bob", "cid"),
    verb: fc.constantFrom("create", "delete"),
  });
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 40, size: "max" }),
      fc.integer({ min: 65_530, max: 65_534 }),
      (steps, from) => {
        let state: State = { ...withImage, lastAddressIndex: from };
        for (const { n, name, verb } of steps) {
          const command = create(n, { name: [name] });
          const known = state.vms[command.vmId];
          const stream = vmStream(command.vmId);
          if (verb === "create" && known === undefined) state = after(state, command);
          else if (verb === "delete" && known?.phase === "stopped")
            state = given(
              [event(stream, "vm.delete_requested", {}), event(stream, "vm.deleted", {})],
              0,
              state,
            );
        }
        const all = Object.values(state.vms);
        const live = all.filter((vm) => vm.phase !== "deleted");
        if (live.length > 2) hit("several");
        if (live.some((vm) => vm.addressIndex < from)) hit("wrapped");
        if (live.some((vm) => all.some((each) => each !== vm && each.name === vm.name))) hit("taken again");
        for (const key of ["id", "name", "address", "addressIndex"] as const) {
          assert.equal(new Set(live.map((vm) => vm[key])).size, live.length);
        }
      },
    ),
  );
});

/** Position → verbs that are so already, and verbs that are refused; every other one yields its event. */
const verbTable: Readonly<Record<string, [already: VmVerb[], refused: VmVerb[]]>> = {
  stopped: [["stop", "kill"], []],
  "starting.disk": [["start"], []],
  "starting.network": [["start"], []],
  "starting.process": [["start"], []],
  "starting.agent": [["start"], []],
  running: [["start"], []],
  stopping: [["stop"], []],
  "stopping+restart": [["start", "restart"], []],
  error: [[], []],
  deleting: [["delete"], ["start", "stop", "restart", "kill"]],
};
const verbs: VmVerb[] = ["start", "stop", "restart", "kill", "delete"];

describe("verbs", () => {
  for (const [at, [already, refused]] of Object.entries(verbTable)) {
    test(at, () => {
      const vm = vmAfterTypes(...(ways[at] ?? []));
      assert.equal(position(vm), at);
      const state = { ...withImage, vms: { [vmId]: vm } };
      for (const verb of verbs) {
        const command = { kind: verb, vmId };
        if (refused.includes(verb)) assert.throws(() => decided(state, command), { code: "not_now" }, verb);
        else if (already.includes(verb)) assert.deepEqual(decided(state, command), [], verb);
        else assert.deepEqual(typesOf(decided(state, command)), [`vm.${verb}_requested`], verb);
      }
    });
  }

  test("a kill that is under way is not asked for again; with a restart it is", () => {
    const running = ways["running"] ?? [];
    const killed = vmAfterTypes(...running, "vm.kill_requested");
    assert.deepEqual(decided({ ...withImage, vms: { [vmId]: killed } }, { kind: "kill", vmId }), []);
    const again = vmAfterTypes(...running, "vm.kill_requested", "vm.start_requested");
    assert.equal(decided({ ...withImage, vms: { [vmId]: again } }, { kind: "kill", vmId }).length, 1);
  });

  test("of a VM that is deleted or unknown there is nothing to do", () => {
    const gone = given([sample("vm.created"), sample("vm.delete_requested"), sample("vm.deleted")]);
    for (const state of [gone, withImage]) {
      for (const kind of verbs) assert.throws(() => decided(state, { kind, vmId }), { code: "vm_not_found" });
    }
  });
});

describe("refs", () => {
  const state = after(
    withImage,
    create(1, { vmId: "aa000001", name: "ann" }),
    create(2, { vmId: "aa000002", name: "aa" }),
    create(3, { vmId: "ab000003", name: "aa000001" }),
  );
  const idOf = (ref: string) => resolveVm(state, ref).id;

  test("a name wins over an id, an id over a prefix, a unique prefix is enough", () => {
    assert.equal(idOf("aa000001"), "ab000003");
    assert.equal(idOf("aa"), "aa000002");
    assert.equal(idOf("aa000002"), "aa000002");
    assert.equal(idOf("ab"), "ab000003");
  });

  test("an ambiguous prefix names what it could be; what is nothing says so", () => {
    assert.throws(() => idOf("a"), { code: "ref_ambiguous", message: /aa000001 \(ann\)/ });
    assert.throws(() => idOf("aa0"), { code: "ref_ambiguous" });
    for (const ref of ["zed", "an", "", "b"])
      assert.throws(() => idOf(ref), { code: /vm_not_found|ref_ambiguous/ }, ref);
    assert.throws(() => idOf("an"), { code: "vm_not_found", hint: /^ann, or see/ });
  });
});
