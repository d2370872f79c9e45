/** Pure: the link to the guest agent, wanted while a guest boots or runs. */
import type { Effect, ObservedVm, Vm } from "../model/model.js";
import { guestWanted } from "./wanted.js";

export function reconcileReadiness(vm: Vm, seen: ObservedVm): Effect[] {
  const linkMissing = seen.process.is === "present" && seen.agent.is === "absent";
  return guestWanted(vm) && linkMissing ? [{ kind: "ensureAgentLink", vmId: vm.id }] : [];
}
