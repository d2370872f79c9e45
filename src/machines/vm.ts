/** The VM's machine: which events are legal in which phase and what they make of the VM. Pure; runs no effect. */
import { assign, setup, transition } from "xstate";
import type { NewEvent, StoredEvent } from "../model/events.js";
import type { Phase, StartStep, Vm } from "../model/model.js";
import { countRecovery, noRecoveries } from "../model/recovery.js";
import {
  awaitGuest,
  beginKill,
  beginRestart,
  beginStart,
  beginStop,
  type Drive,
  edit,
  endStart,
  noteExit,
  noteGuest,
  notePause,
  noteResumed,
} from "./vm-edits.js";

/** What may befall a guest that boots or runs, whichever. */
const standstill = {
  "vm.paused": { actions: "notePause" },
  "vm.resumed": { actions: "noteResumed" },
} as const;

const networkEvents = {
  "vm.network_lost": { actions: "noteNetworkLost" },
  "vm.network_restored": { actions: "noteNetworkRestored" },
} as const;

/** What can be changed of a VM at any time before its end. */
const changes = {
  "vm.spec_changed": { actions: "changeSpec" },
  "vm.labels_changed": { actions: "changeLabels" },
} as const;

const start = { target: "starting", actions: "beginStart" } as const;
const starts = { "vm.start_requested": start, "vm.restart_requested": start } as const;

/** The ways in which a VM is asked to be deleted. */
const gone = { target: "deleting", actions: "beginDelete" } as const;
const deletions = { "vm.delete_requested": gone, "vm.expired": gone } as const;

/** The ways in which a VM that starts or runs is asked to end. */
const endings = {
  "vm.stop_requested": { target: "stopping", actions: "beginStop" },
  "vm.restart_requested": { target: "stopping", actions: "beginRestart" },
  "vm.kill_requested": { target: "stopping", actions: "beginKill" },
  ...deletions,
} as const;

const machine = setup({
  types: { context: {} as Vm, events: {} as Drive, input: {} as Vm },
  actions: {
    beginStart: assign(beginStart),
    beginStop: assign(beginStop),
    beginKill: assign(beginKill),
    beginRestart: assign(beginRestart),
    noteExit: assign(noteExit),
    notePause: assign(notePause),
    noteResumed: assign(noteResumed),
    noteGuest: assign(noteGuest),
    noteNetworkLost: assign(
      edit((vm, _event, at) => {
        vm.networkLostAt = at;
      }),
    ),
    noteNetworkRestored: assign(
      edit((vm) => {
        vm.networkLostAt = null;
      }),
    ),
    changeSpec: assign(
      edit<"vm.spec_changed">((vm, event) => {
        vm.spec = event.data.spec;
      }),
    ),
    changeLabels: assign(
      edit<"vm.labels_changed">((vm, event) => {
        vm.labels = event.data.labels;
      }),
    ),
    resume: assign(
      edit<"vm.process_exited">((vm, _event, at) => {
        vm.restart = false;
        vm.recoveries = noRecoveries;
        awaitGuest(vm, at);
      }),
    ),
    /** A start like any other, but that a guest which reboots on and on waits ever longer for it. */
    comeBack: assign(
      edit<"vm.process_exited">((vm, _event, at) => {
        vm.recoveries = countRecovery(vm.recoveries, at);
        awaitGuest(vm, at);
      }),
    ),
    wantRestart: assign(
      edit<"vm.start_requested">((vm, event) => {
        vm.restart = true;
        vm.bootTimeoutMs = event.data.bootTimeoutMs;
      }),
    ),
    dropRestart: assign(
      edit((vm) => {
        vm.restart = false;
      }),
    ),
    noteAsked: assign(
      edit((vm) => {
        if (vm.stop !== null) vm.stop.asked = true;
      }),
    ),
    // From here on a VMM may run before anybody has seen it.
    noteDisksInUse: assign(
      edit((vm) => {
        vm.disksHoldData = true;
        vm.startedWith = vm.spec;
      }),
    ),
    noteProcess: assign(
      edit((vm, _event, at) => {
        vm.everStarted = true;
        vm.bootDeadlineAt = at + vm.bootTimeoutMs;
      }),
    ),
    // Nobody was there to hear the guest; it gets a whole boot's time again.
    extendBoot: assign(
      edit((vm, _event, at) => {
        vm.bootDeadlineAt = at + vm.bootTimeoutMs;
      }),
    ),
    noteReady: assign(
      edit((vm, _event, at) => {
        vm.readyAt = at;
        vm.bootDeadlineAt = null;
      }),
    ),
    noteFailure: assign(
      edit<"vm.step_failed">((vm, event) => {
        vm.error = event.data;
        vm.bootDeadlineAt = null;
        vm.paused = null;
        vm.networkLostAt = null;
        vm.startedWith = null;
        if (event.data.step === "process" && !vm.everStarted) vm.disksHoldData = false;
      }),
    ),
    noteEarlyExit: assign(
      edit<"vm.process_exited">((vm, event) => {
        vm.error = {
          step: "agent",
          code: "vmm_exited",
          message: `the VMM exited before the guest answered: ${event.data.detail}`,
          hint: `banger vm logs ${vm.name}`,
          retry: "never",
        };
      }),
    ),
    beginDelete: assign(
      edit((vm) => {
        endStart(vm);
        vm.stop = null;
        vm.restart = false;
      }),
    ),
  },
  guards: {
    restartWanted: ({ context }) => context.restart,
    rebooted: ({ event }) => event.type === "vm.process_exited" && event.data.reason === "reboot",
  },
}).createMachine({
  id: "vm",
  context: ({ input }) => input,
  initial: "stopped",
  states: {
    stopped: { on: { ...changes, ...starts, ...deletions } },
    starting: {
      initial: "disk",
      states: {
        disk: { on: { "vm.disk_attached": "network" } },
        network: { on: { "vm.network_attached": { target: "process", actions: "noteDisksInUse" } } },
        process: { on: { "vm.process_started": { target: "agent", actions: "noteProcess" } } },
        agent: {
          on: {
            "vm.ready": { target: "#vm.running", actions: "noteReady" },
            "vm.process_exited": { target: "#vm.error", actions: ["noteExit", "noteEarlyExit"] },
            "vm.adopted": { actions: "extendBoot" },
            ...standstill,
            ...networkEvents,
          },
        },
      },
      on: {
        ...changes,
        "vm.step_failed": { target: "error", actions: "noteFailure" },
        ...endings,
      },
    },
    running: {
      on: {
        ...changes,
        "vm.adopted": {},
        "vm.booted": { actions: "noteGuest" },
        "vm.clock_set": { actions: "noteGuest" },
        "vm.process_exited": [
          { guard: "rebooted", target: "starting", actions: ["noteExit", "comeBack"] },
          { target: "stopped", actions: "noteExit" },
        ],
        ...standstill,
        ...networkEvents,
        ...endings,
      },
    },
    stopping: {
      on: {
        ...changes,
        "vm.shutdown_asked": { actions: "noteAsked" },
        "vm.process_exited": [
          { guard: "restartWanted", target: "starting", actions: ["noteExit", "resume"] },
          { target: "stopped", actions: "noteExit" },
        ],
        "vm.start_requested": { actions: "wantRestart" },
        "vm.restart_requested": { actions: "wantRestart" },
        "vm.stop_requested": { actions: "dropRestart" },
        "vm.kill_requested": { actions: "beginKill" },
        ...deletions,
      },
    },
    error: {
      on: {
        ...changes,
        ...starts,
        "vm.stop_requested": { target: "stopping", actions: "beginStop" },
        "vm.kill_requested": { target: "stopping", actions: "beginKill" },
        ...deletions,
      },
    },
    deleting: { on: { "vm.deleted": "deleted" } },
    deleted: { type: "final" },
  },
});

/** The machine itself, for tests that walk its paths. */
export const vmMachine = machine;

function snapshotOf(vm: Vm) {
  const value = vm.phase === "starting" ? { starting: vm.step ?? "disk" } : vm.phase;
  return machine.resolveState({ value, context: vm });
}

/** Whether the event would change anything of a VM in its present phase. */
export const vmCan = (vm: Vm, event: NewEvent): boolean => snapshotOf(vm).can(event);

/** The VM after `event`. An event that the phase does not know leaves it as it is: folding never rejects. */
export function vmAfter(vm: Vm, event: StoredEvent): Vm {
  const [next] = transition(machine, snapshotOf(vm), event);
  const value = next.value as Phase | { starting: StartStep };
  const [phase, step]: [Phase, StartStep | null] =
    typeof value === "string" ? [value, null] : ["starting", value.starting];
  if (next.context === vm && phase === vm.phase && step === vm.step) return vm;
  const changedAt = phase === vm.phase && step === vm.step ? vm.changedAt : event.at;
  return { ...next.context, phase, step, changedAt };
}
