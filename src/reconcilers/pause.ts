/** Pure: a guest that was stopped resumes, and one whose host's disk was full does so as soon as there is space. */
import type { Effect, ObservedVm, PauseCause, Vm } from "../model/model.js";
import { recoverAt } from "../model/recovery.js";
import { guestWanted } from "./wanted.js";

/** Less would be full again in the next moment. */
const roomMiB = 32;
/** Nobody tells when a file system has room again. */
const lookAgainMs = 5_000;

/**
 * QEMU serves one control connection at a time: whoever stopped a guest through it has gone by the time that banger
 * sees it, and nobody else will have it go on.
 */
const goesOn: ReadonlySet<PauseCause | undefined> = new Set<PauseCause>(["host_disk_full", "stopped"]);

export function reconcilePause(vm: Vm, { process }: ObservedVm, now: number): Effect[] {
  if (!guestWanted(vm) || process.is !== "present") return [];
  const { pause } = process;
  if (pause === undefined || pause === "unasked" || pause.cause !== vm.paused?.cause) return [];
  if (!goesOn.has(pause.cause) || now < recoverAt(vm.recoveries)) return [];
  if (pause.cause === "host_disk_full" && pause.freeMiB < roomMiB) return [];
  return [{ kind: "ensureRunning", vmId: vm.id }];
}

/** When to look at a paused guest again: for disk space, or because it was stopped too often to resume at once. */
export function nextLookAtPause(vm: Vm, now: number): number | null {
  if (!guestWanted(vm) || !goesOn.has(vm.paused?.cause)) return null;
  const at = recoverAt(vm.recoveries);
  if (vm.paused?.cause === "host_disk_full") return Math.max(now + lookAgainMs, at);
  return at > now ? at : null;
}
