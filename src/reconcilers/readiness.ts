/** Pure: the link to the guest agent, wanted while a guest boots or runs, and the clock that it shows. */
import type { Effect, ObservedVm, Vm } from "../model/model.js";
import { guestWanted } from "./wanted.js";

export function reconcileReadiness(vm: Vm, seen: ObservedVm): Effect[] {
  const linkMissing = seen.process.is === "present" && seen.agent.is === "absent";
  return guestWanted(vm) && linkMissing ? [{ kind: "ensureAgentLink", vmId: vm.id }] : [];
}

/** A clock that goes wrong again and again is set, and told of in the log, no more often than this. */
const clockSpacingMs = 30_000;

/** A guest that stood still, or whose host slept, has missed time; one that stands still now would miss more. */
export function reconcileClock(vm: Vm, { process, agent }: ObservedVm, now: number): Effect[] {
  if (vm.phase !== "running" || process.is !== "present" || process.pause !== undefined) return [];
  if (agent.is !== "present" || !agent.answering || (agent.behindMs ?? 0) === 0) return [];
  return now >= (vm.clockSetAt ?? 0) + clockSpacingMs ? [{ kind: "ensureClock", vmId: vm.id }] : [];
}
