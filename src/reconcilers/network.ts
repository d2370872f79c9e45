/** Pure: ports of the VM's loopback address, forwarded while the guest listens on them; sshd's always. */
import type { Capabilities, Effect, Listener, ObservedVm, Vm } from "../model.js";
import { guestWanted } from "./readiness.js";

const sshPort = 22;

export const onLoopback = ({ address }: Listener): boolean => address.startsWith("127.") || address === "::1";

/** A listener on the guest's own loopback cannot be reached through its network card. */
export const reachable = (listener: Listener): boolean => listener.proto === "tcp" && !onLoopback(listener);

export function reconcileNetwork(vm: Vm, seen: ObservedVm, capabilities: Capabilities): Effect[] {
  if (!capabilities.portForwarding || !guestWanted(vm) || seen.forwards.is !== "present") return [];
  const wanted = new Set([sshPort]);
  if (seen.listeners.is === "present") {
    for (const listener of seen.listeners.list) if (reachable(listener)) wanted.add(listener.port);
  }
  const forwarded = new Set(seen.forwards.list.map((forward) => forward.guestPort));
  const effects: Effect[] = [...wanted]
    .filter((guestPort) => !forwarded.has(guestPort))
    .map((guestPort) => ({ kind: "ensureForward", vmId: vm.id, address: vm.address, guestPort }));
  if (seen.listeners.is !== "present") return effects;
  for (const { guestPort, hostPort } of seen.forwards.list) {
    if (wanted.has(guestPort)) continue;
    effects.push({ kind: "ensureNoForward", vmId: vm.id, address: vm.address, guestPort, hostPort });
  }
  return effects;
}
