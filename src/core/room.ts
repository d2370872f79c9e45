/** Pure: whether this machine has room for what a command asks of it, and the sums that people are shown. */

import { BangerError } from "../lib/errors.js";
import { formatSize } from "../lib/sizes.js";
import type { NewEvent } from "../model/events.js";
import type { ObservedHost, SeenSpace } from "../model/host.js";
import type { Seen, State, Vm, VmId } from "../model/model.js";
import { type Command, decide, type Timeouts } from "./decide.js";

/** What is judged by: the host as it was just seen, and what its owner allows. */
export interface Room {
  host: ObservedHost;
  /** Memory of VMs that run may come to so many percent of what there is. */
  memoryPercent: number;
  /** What is to stay free; null: a twentieth of the disk, two gigabytes at most. */
  reserveMiB: number | null;
  /** The client wants it all the same. */
  force: boolean;
}

const usualReserveMiB = 2048;

/** What of the disk is to stay free for what runs already. */
export const reserveOf = ({ totalMiB }: SeenSpace, { reserveMiB }: Pick<Room, "reserveMiB">): number =>
  reserveMiB ?? Math.min(usualReserveMiB, Math.floor(totalMiB / 20));

/** What all VMs together may have; null where nobody can tell. */
export const memoryLimitMiB = ({ host: { memory }, memoryPercent }: Omit<Room, "force">): number | null =>
  memory.is === "present" ? Math.floor((memory.totalMiB * memoryPercent) / 100) : null;

/** Memory that the VM has, or will have as soon as it starts. */
function memoryOf({ phase, spec, startedWith, restart }: Vm): number {
  if (phase === "deleted") return 0;
  const has = startedWith?.memoryMiB ?? 0;
  if (phase === "starting") return startedWith?.memoryMiB ?? spec.memoryMiB;
  return restart ? Math.max(has, spec.memoryMiB) : has;
}

/** What VMs that start, run or end have of memory, this one left out. */
export const promisedMiB = (state: State, but?: VmId): number =>
  Object.values(state.vms).reduce((sum, vm) => (vm.id === but ? sum : sum + memoryOf(vm)), 0);

/**
 * Decides a command on a machine that has no more room than this.
 * @throws BangerError `memory_promised`, `disk_reserved`, and what `decide` says
 */
export function decideWithin(room: Room, state: State, command: Command, timeouts: Timeouts): NewEvent[] {
  const events = decide(state, command, timeouts);
  if (events.length > 0 && !room.force) checkRoom(state, command, room);
  return events;
}

function checkRoom(state: State, command: Command, room: Room): void {
  switch (command.kind) {
    case "create":
      checkMemory(state, String(command.name), command.spec.memoryMiB, command.start ? "" : null, room);
      return checkDisk(room.host.stateDisk, room);
    case "start":
    case "restart": {
      const vm = state.vms[command.vmId];
      if (vm === undefined) return;
      checkMemory(state, vm.name, vm.spec.memoryMiB, vm.id, room);
      // What runs writes where it is, started anew or not.
      if (vm.phase !== "running") checkDisk(room.host.stateDisk, room);
      return;
    }
    case "set": {
      const vm = state.vms[command.vmId];
      if (vm === undefined || command.changes.memoryMiB === undefined) return;
      const comes = vm.phase === "starting" || vm.restart;
      return checkMemory(state, vm.name, command.changes.memoryMiB, comes ? vm.id : null, room);
    }
    case "pullImage":
      return checkDisk(room.host.dataDisk, room);
  }
}

/** `beside`: the VM that starts beside those that run, "" one that is new, null when none starts. */
function checkMemory(state: State, name: string, miB: number, beside: string | null, room: Room): void {
  const limit = memoryLimitMiB(room);
  const others = beside === null ? 0 : promisedMiB(state, beside);
  if (limit === null || miB + others <= limit) return;
  const sum = others === 0 ? "" : `, and running VMs have ${formatSize(others)}: ${formatSize(miB + others)}`;
  throw new BangerError(
    "memory_promised",
    `${name} would have ${formatSize(miB)} of memory${sum}; the limit here is ${formatSize(limit)}`,
    { hint: "banger vm list; or use --force", retry: others === 0 ? "never" : "later" },
  );
}

function checkDisk(disk: Seen<SeenSpace>, room: Room): void {
  if (disk.is !== "present") return;
  const reserve = reserveOf(disk, room);
  if (disk.freeMiB >= reserve) return;
  throw new BangerError(
    "disk_reserved",
    `${disk.path} has ${formatSize(disk.freeMiB)} free, and ${formatSize(reserve)} are reserved for running VMs`,
    { hint: "banger vm prune; banger image cache prune", retry: "later" },
  );
}
