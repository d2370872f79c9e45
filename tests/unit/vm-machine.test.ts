/** The VM's machine: every cell of its table, and what holds on every path through it. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { getShortestPaths } from "xstate/graph";
import { initialState } from "../../src/core/projection.js";
import { vmAfter, vmCan, vmMachine } from "../../src/machines/vm.js";
import { type EventType, event, type NewEvent, vmStream } from "../../src/model/events.js";
import type { Vm } from "../../src/model/model.js";
import {
  eventTypes,
  position,
  reachableVms,
  sample,
  stored,
  t0,
  vmAfterTypes,
  vmId,
  ways,
} from "../fixtures.js";

const commands: EventType[] = [
  "vm.start_requested",
  "vm.stop_requested",
  "vm.restart_requested",
  "vm.kill_requested",
  "vm.delete_requested",
  "vm.spec_changed",
];
/** The one fact that is told of a daemon rather than of the VM. */
const adopted: EventType = "vm.adopted";
const facts: EventType[] = [
  "vm.disk_attached",
  "vm.network_attached",
  "vm.process_started",
  "vm.ready",
  "vm.shutdown_asked",
  "vm.process_exited",
  "vm.step_failed",
  "vm.deleted",
];
/** What befalls a guest that boots or runs, and goes on. */
const befalls: EventType[] = ["vm.paused", "vm.resumed", "vm.booted", "vm.clock_set"];
/** The same of its network; then what a VM is labelled, and that its time is over. */
const further: EventType[] = ["vm.network_lost", "vm.network_restored", "vm.labels_changed", "vm.expired"];
/** Known to the log, and changing no VM that there is. */
const idle: EventType[] = ["vm.created", "vm.effect_failed", "vm.file_skipped"];

/** Given the row's position, when the column's event happens, then this is the new one; "-" leaves the VM as it is. */
const table = `
                 start            stop     restart          kill     delete   spec             adopted
stopped          starting.disk    -        starting.disk    -        deleting stopped          -
starting.disk    -                stopping stopping+restart stopping deleting starting.disk    -
starting.network -                stopping stopping+restart stopping deleting starting.network -
starting.process -                stopping stopping+restart stopping deleting starting.process -
starting.agent   -                stopping stopping+restart stopping deleting starting.agent   starting.agent
running          -                stopping stopping+restart stopping deleting running          -
stopping         stopping+restart stopping stopping+restart stopping deleting stopping         -
stopping+restart stopping+restart stopping stopping+restart stopping deleting stopping+restart -
error            starting.disk    stopping starting.disk    stopping deleting error            -
deleting         -                -        -                -        -        -                -
deleted          -                -        -                -        -        -                -

                 disk             network          process        ready   asked            exited        failed deleted
stopped          -                -                -              -       -                -             -      -
starting.disk    starting.network -                -              -       -                -             error  -
starting.network -                starting.process -              -       -                -             error  -
starting.process -                -                starting.agent -       -                -             error  -
starting.agent   -                -                -              running -                error         error  -
running          -                -                -              -       -                stopped       -      -
stopping         -                -                -              -       stopping         stopped       -      -
stopping+restart -                -                -              -       stopping+restart starting.disk -      -
error            -                -                -              -       -                -             -      -
deleting         -                -                -              -       -                -             -      deleted
deleted          -                -                -              -       -                -             -      -

                 paused         resumed        booted  clock_set
stopped          -              -              -       -
starting.disk    -              -              -       -
starting.network -              -              -       -
starting.process -              -              -       -
starting.agent   starting.agent starting.agent -       -
running          running        running        running running
stopping         -              -              -       -
stopping+restart -              -              -       -
error            -              -              -       -
deleting         -              -              -       -
deleted          -              -              -       -

                 network_lost   network_restored labels           expired
stopped          -              -                stopped          deleting
starting.disk    -              -                starting.disk    deleting
starting.network -              -                starting.network deleting
starting.process -              -                starting.process deleting
starting.agent   starting.agent starting.agent   starting.agent   deleting
running          running        running          running          deleting
stopping         -              -                stopping         deleting
stopping+restart -              -                stopping+restart deleting
error            -              -                error            deleting
deleting         -              -                -                -
deleted          -              -                -                -
`;

interface Row {
  from: string;
  type: EventType;
  to: string;
}

const rows: Row[] = table
  .trim()
  .split(/\n\s*\n/)
  .flatMap((part, index) => {
    const [, ...lines] = part.trim().split("\n");
    return lines.flatMap((line) => {
      const [from = "", ...cells] = line.trim().split(/\s+/);
      const columns = [[...commands, adopted], facts, befalls, further][index] ?? [];
      assert.equal(cells.length, columns.length, line);
      return cells.map((to, column) => ({ from, type: columns[column] as EventType, to }));
    });
  });

describe("given, when, then", () => {
  test("the table has every position and every event that concerns a VM", () => {
    assert.deepEqual(new Set(rows.map(({ from }) => from)), new Set(Object.keys(ways)));
    const types = new Set([...rows.map(({ type }) => type), ...idle]);
    assert.deepEqual(types, new Set(eventTypes.filter((type) => type.startsWith("vm."))));
  });

  for (const [from, types] of Object.entries(ways)) {
    test(from, () => {
      const vm = vmAfterTypes(...types);
      assert.equal(position(vm), from);
      for (const { type, to } of rows.filter((row) => row.from === from)) {
        const then = vmAfter(vm, at(sample(type)));
        if (to === "-") assert.equal(then, vm, `${type} changes nothing, not even the object`);
        else assert.equal(position(then), to, type);
        assert.equal(vmCan(vm, sample(type)), to !== "-", type);
      }
      for (const type of [...idle, ...eventTypes.filter((each) => !each.startsWith("vm."))]) {
        assert.equal(vmAfter(vm, at(sample(type))), vm, type);
        assert.equal(vmCan(vm, sample(type)), false, type);
      }
    });
  }
});

describe("what the events leave on the VM", () => {
  test("a stop has a deadline, is asked once, and is over with the process", () => {
    const vm = vmAfterTypes(...(ways["stopping"] as EventType[]));
    assert.deepEqual(vm.stop, { mode: "graceful", deadlineAt: t0 + 20_000, asked: false });
    const asked = vmAfter(vm, at(sample("vm.shutdown_asked")));
    assert.equal(asked.stop?.asked, true);
    const stopped = vmAfter(asked, at(sample("vm.process_exited"), t0 + 5));
    assert.deepEqual([stopped.stop, stopped.changedAt], [null, t0 + 5]);
    assert.deepEqual(stopped.lastExit, { reason: "guest", detail: "powered off", at: t0 + 5 });
  });

  test("a kill during a graceful stop takes its place and drops the restart", () => {
    const vm = vmAfterTypes(...(ways["stopping+restart"] as EventType[]), "vm.kill_requested");
    assert.deepEqual([vm.restart, vm.stop?.mode, vm.stop?.deadlineAt], [false, "kill", t0]);
  });

  test("a boot has a deadline from its process on, and the restart's own timeout", () => {
    const vm = vmAfterTypes("vm.restart_requested", "vm.disk_attached", "vm.network_attached");
    assert.equal(vm.bootDeadlineAt, null);
    const booting = vmAfter(vm, at(sample("vm.process_started"), t0 + 7));
    assert.equal(booting.bootDeadlineAt, t0 + 7 + 90_000);
    assert.equal(vmAfter(booting, at(sample("vm.ready"))).bootDeadlineAt, null);
    const adopted = vmAfter(booting, at(sample("vm.adopted"), t0 + 200_000));
    assert.equal(adopted.bootDeadlineAt, t0 + 200_000 + 90_000, "no daemon was there to hear the guest");
  });

  test("an exit before the guest answered is an error of the agent step, with what to do", () => {
    const vm = vmAfterTypes(...(ways["starting.agent"] as EventType[]), "vm.process_exited");
    assert.equal(vm.error?.step, "agent");
    assert.equal(vm.error?.code, "vmm_exited");
    assert.match(vm.error?.message ?? "", /powered off/);
    assert.equal(vm.error?.hint, "banger vm logs ann");
  });

  test("disks hold data once a guest may have run on them, and not when its process never came", () => {
    const ofStep = (types: EventType[], step: "disk" | "process") =>
      vmAfter(vmAfterTypes(...types), at(event(vmStream(vmId), "vm.step_failed", { ...broken, step })));
    assert.equal(ofStep(ways["starting.disk"] as EventType[], "disk").disksHoldData, false);
    assert.equal(ofStep(ways["starting.process"] as EventType[], "process").disksHoldData, false);
    assert.equal(vmAfterTypes(...(ways["starting.process"] as EventType[])).disksHoldData, true);
    const unseen: EventType[] = [...(ways["starting.process"] as EventType[]), "vm.stop_requested"];
    const stopped: EventType[] = [...unseen, "vm.process_exited"];
    const tried: EventType[] = [...stopped, ...(ways["starting.process"] as EventType[])];
    assert.equal(ofStep(tried, "process").disksHoldData, true, "a VMM may have run before the stop");
    const again: EventType[] = [...(ways["running"] as EventType[]), "vm.process_exited"];
    const second = [...again, ...(ways["starting.process"] as EventType[])];
    assert.equal(ofStep(second, "process").disksHoldData, true);
  });
});

const broken = { code: "broken", message: "it broke", retry: "never" } as const;
const at = (fact: NewEvent, time = t0) => stored(initialState, fact, time);

describe("every path", () => {
  const all = reachableVms();
  const vms = [...all.values()];

  test("the machine's graph and the fold reach the same positions", () => {
    const paths = getShortestPaths(vmMachine, {
      input: vmAfterTypes(),
      events: [...commands, ...facts, ...further, ...idle].map((type) => at(sample(type))),
      serializeState: ({ value }) => JSON.stringify(value),
    });
    const values = paths.map(({ state }) =>
      typeof state.value === "string" ? state.value : `starting.${state.value.starting}`,
    );
    const positions = vms.map(({ vm }) => position(vm).replace("+restart", ""));
    assert.deepEqual(new Set(values), new Set(positions));
  });

  test("a VM at rest can be led on by a command; only a deleted one cannot", () => {
    for (const { vm, next } of vms) {
      const byCommand = commands.some((type) => next.get(type) !== undefined);
      assert.equal(byCommand, vm.phase !== "deleting" && vm.phase !== "deleted", position(vm));
    }
  });

  test("every VM can still be deleted", () => {
    const ends = new Set([...all].filter(([, { vm }]) => vm.phase === "deleted").map(([key]) => key));
    for (let grown = true; grown; ) {
      const before = ends.size;
      for (const [key, { next }] of all) if ([...next.values()].some((to) => ends.has(to))) ends.add(key);
      grown = ends.size > before;
    }
    assert.equal(ends.size, all.size);
  });

  const invariants: Record<string, (vm: Vm) => boolean> = {
    "a step is that of a start": (vm) => (vm.step !== null) === (vm.phase === "starting"),
    "a stop is that of a VM that stops": (vm) => (vm.stop !== null) === (vm.phase === "stopping"),
    "only a VM that stops waits for a restart": (vm) => !vm.restart || vm.phase === "stopping",
    "an error is that of the error phase": (vm) => (vm.error !== null) === (vm.phase === "error"),
    "a boot deadline is that of a boot": (vm) =>
      (vm.bootDeadlineAt !== null) === (vm.phase === "starting" && vm.step === "agent"),
    "a running VM was started, is ready and holds data": (vm) =>
      vm.phase !== "running" || (vm.readyAt !== null && vm.everStarted && vm.disksHoldData),
    "what a process may have written to is kept": (vm) =>
      !(vm.everStarted || vm.step === "process" || vm.step === "agent") || vm.disksHoldData,
  };
  for (const [name, holds] of Object.entries(invariants)) {
    test(`always: ${name}`, () => {
      for (const { vm } of vms) assert.ok(holds(vm), JSON.stringify(vm));
    });
  }
});
