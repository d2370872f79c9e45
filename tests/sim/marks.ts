/** The rare cases that the simulation is for, counted: seeds that never come to one prove nothing of it. */
import type { Observed, ObservedVm, Seen, State, Vm } from "../../src/model/model.js";
import { isOver, nothingHeld } from "../../src/reconcilers/wanted.js";
import { lacking } from "./looks.js";

/** Gone with the kernel; all else that a VMM needs is files. */
const kernels: ReadonlySet<string> = new Set(["its root device", "its network"]);

const isUnknown = ({ is }: Seen): boolean => is === "unknown";
const isPart = (seen: ObservedVm["network"]): boolean => seen.is === "present" && !seen.whole;

/** What is rare about how a look finds this VM, each in words. */
function rarities(vm: Vm, seen: ObservedVm, mode: "user" | "system", now: number): string[] {
  const { phase, step, disksHoldData, stop } = vm;
  const { process, directory, runtime } = seen;
  const said: string[] = [];
  if (step === "process" && process.is === "absent")
    for (const what of lacking(seen, mode))
      said.push(`a start misses ${kernels.has(what) ? what : "a file"}`);
  const free = nothingHeld(seen) && runtime.is === "absent" && directory.is === "present";
  if (isOver(vm) && free)
    said.push(disksHoldData ? "disks with data outlive their VMM" : "a start is rolled back");
  if (phase === "deleting" && [process, seen.network, seen.rootDevice, runtime, directory].some(isUnknown))
    said.push("a delete does not see everything");
  if (phase === "stopping" && process.is === "present" && stop !== null && now >= stop.deadlineAt)
    said.push("a guest outlives its stop");
  if (process.is === "present" && process.idle) said.push("a VMM has no guest");
  if (isPart(seen.rootDevice)) said.push("a root device is half made");
  if (isPart(seen.network)) said.push(mode === "system" ? "a tap has no rules" : "a network process hangs");
  if (process.is === "present" && seen.network.is === "absent") said.push("a guest has no network");
  return said;
}

export class Marks {
  readonly #counts = new Map<string, number>();

  #hit(mark: string): void {
    this.#counts.set(mark, (this.#counts.get(mark) ?? 0) + 1);
  }

  /** What a daemon sees, beside what it knows. */
  look(state: State, observed: Observed, mode: "user" | "system", now: number): void {
    for (const vm of Object.values(state.vms)) {
      const seen = observed.vms.get(vm.id) ?? observed.unlistedVm;
      for (const rare of rarities(vm, seen, mode, now)) this.#hit(rare);
    }
  }

  /** Each event's type, what a failure was, and whose death it is, as a run's trace tells them. */
  line(text: string): void {
    const [, type, data = ""] = /^event \d+ \S+ (\S+) (.*)$/.exec(text) ?? [];
    if (type !== undefined) this.#hit(type);
    const code = /"code":"(\w+)"/.exec(type === undefined ? text : data)?.[1];
    if (code !== undefined) this.#hit(code);
    if (text.endsWith(" dies at a boundary")) this.#hit(text);
  }

  get counts(): ReadonlyMap<string, number> {
    return this.#counts;
  }
}

/** Adds what one run came to. */
export function addMarks(all: Map<string, number>, marks: ReadonlyMap<string, number>): void {
  for (const [mark, count] of marks) all.set(mark, (all.get(mark) ?? 0) + count);
}

/** How often 200 seeds must have come to each: far less than they do, for any change of the code shifts all chances. */
export const leastMarks: Readonly<Record<string, number>> = {
  "a start misses its root device": 10,
  "a start misses its network": 10,
  "a start misses a file": 5,
  "a start is rolled back": 20,
  "disks with data outlive their VMM": 1000,
  "a delete does not see everything": 20,
  "a guest outlives its stop": 20,
  "a VMM has no guest": 15,
  "a root device is half made": 15,
  "a tap has no rules": 25,
  "a network process hangs": 5,
  "a guest has no network": 20,
  "the daemon dies at a boundary": 50,
  "the helper dies at a boundary": 10,
  boot_timeout: 5,
  deadline_exceeded: 20,
  helper_unreachable: 50,
  qemu_missing: 10,
  "image.damaged": 1,
  "image.deleted": 1,
  "vm.adopted": 50,
  "vm.deleted": 30,
  "vm.expired": 10,
  "vm.network_lost": 10,
  "vm.network_restored": 10,
  "vm.paused": 5,
  "vm.resumed": 2,
  "vm.shutdown_asked": 15,
  "vm.spec_changed": 10,
  "vm.step_failed": 15,
};
