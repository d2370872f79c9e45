/** What events make of a VM, apart from its phase. Pure. */
import { produce } from "immer";
import type { NewEvent, StoredEvent } from "../model/events.js";
import type { Vm } from "../model/model.js";
import { countRecovery, noRecoveries } from "../model/recovery.js";

/** What drives the machine: a stored event, or a new one whose legality is asked (then `at` is 0). */
export type Drive = (StoredEvent | NewEvent) & { at?: number };
type DriveOf<T extends Drive["type"]> = Extract<Drive, { type: T }>;

/** An action that edits the VM with immer; `at` is the time of the event. */
export function edit<T extends Drive["type"]>(recipe: (vm: Vm, event: DriveOf<T>, at: number) => void) {
  return ({ context, event }: { context: Vm; event: Drive }) =>
    produce(context, (draft) => recipe(draft, event as DriveOf<T>, event.at ?? 0));
}

/** No guest has answered since. */
export function awaitGuest(vm: Vm, at: number): void {
  vm.startedAt = at;
  vm.readyAt = null;
}

export const beginStart = edit<"vm.start_requested" | "vm.restart_requested">((vm, event, at) => {
  vm.error = null;
  vm.stop = null;
  vm.restart = false;
  awaitGuest(vm, at);
  vm.recoveries = noRecoveries;
  vm.bootTimeoutMs = event.data.bootTimeoutMs;
});

/** Whatever ends a start, or follows one that failed, ends its error and its deadline. */
export function endStart(vm: Vm): void {
  vm.error = null;
  vm.bootDeadlineAt = null;
  vm.paused = null;
  vm.networkLostAt = null;
  // A VMM may run that nobody has seen yet, and nobody will tell it apart from one that never was.
  if (vm.step === "process") vm.everStarted = true;
}

export const beginStop = edit<"vm.stop_requested">((vm, event, at) => {
  endStart(vm);
  vm.stop = { mode: "graceful", deadlineAt: at + event.data.timeoutMs, asked: false };
});

export const beginKill = edit<"vm.kill_requested">((vm, _event, at) => {
  endStart(vm);
  vm.stop = { mode: "kill", deadlineAt: at, asked: false };
  vm.restart = false;
});

export const beginRestart = edit<"vm.restart_requested">((vm, event, at) => {
  endStart(vm);
  vm.stop = { mode: "graceful", deadlineAt: at + event.data.timeoutMs, asked: false };
  vm.restart = true;
  vm.bootTimeoutMs = event.data.bootTimeoutMs;
});

export const noteExit = edit<"vm.process_exited">((vm, event, at) => {
  vm.lastExit = { ...event.data, at };
  vm.startedWith = null;
  vm.bootedAt = null;
  vm.clockSetAt = null;
  vm.stop = null;
  vm.bootDeadlineAt = null;
  vm.paused = null;
  vm.networkLostAt = null;
});

export const notePause = edit<"vm.paused">((vm, { data: { cause } }, at) => {
  vm.paused = { cause, at };
  if (cause === "host_disk_full" || cause === "stopped") vm.recoveries = countRecovery(vm.recoveries, at);
});

/** A boot that was interrupted gets a whole boot's time again. */
export const noteResumed = edit<"vm.resumed">((vm, _event, at) => {
  vm.paused = null;
  if (vm.bootDeadlineAt !== null) vm.bootDeadlineAt = at + vm.bootTimeoutMs;
});

export const noteGuest = edit<"vm.booted" | "vm.clock_set">((vm, event, at) => {
  if (event.type === "vm.booted") vm.bootedAt = at;
  else vm.clockSetAt = at;
});
