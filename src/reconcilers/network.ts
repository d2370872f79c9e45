/** Pure: the guest's card on the bridge with its way out, or else ports of the VM's loopback address. */
import type { Capabilities, Effect, Listener, ObservedVm, Part, Seen, Vm } from "../model.js";
import { guestWanted, isOver } from "./wanted.js";

const sshPort = 22;
/** A guest may listen on any number of ports, and each forward is a socket of the host's. */
export const mostForwards = 256;

export const onLoopback = ({ address }: Listener): boolean => address.startsWith("127.") || address === "::1";

/** A listener on the guest's own loopback cannot be reached through its network card. */
export const reachable = (listener: Listener): boolean => listener.proto === "tcp" && !onLoopback(listener);

export const reconcileNetwork = (vm: Vm, seen: ObservedVm, capabilities: Capabilities): Effect[] => [
  ...reconcileCard(vm, seen, capabilities),
  ...reconcileForwards(vm, seen, capabilities),
];

/** Both are wanted from the network step until the VMM has ended; the way out follows the spec all that time. */
function reconcileCard(vm: Vm, { process, tap, nat }: ObservedVm, capabilities: Capabilities): Effect[] {
  const { id: vmId, address } = vm;
  if (isOver(vm)) {
    if (process.is !== "absent") return [];
    return [
      ...(tap.is === "present" ? [{ kind: "ensureNoTap", vmId } as const] : []),
      ...(nat.is === "present" ? [{ kind: "ensureNoNat", vmId } as const] : []),
    ];
  }
  if (!capabilities.bridgeNetworking) return [];
  const starts = vm.phase === "starting" && (vm.step === "network" || vm.step === "process");
  const made = starts && process.is === "absent";
  if (!made && !(guestWanted(vm) && process.is === "present")) return [];
  // Where the host does not tell, a start tries, and so learns why not; a guest that runs is left alone.
  const lacks = (part: Seen | Part): boolean =>
    part.is === "absent" || ("whole" in part && !part.whole) || (made && part.is === "unknown");
  const effects: Effect[] = [];
  if (lacks(tap)) effects.push({ kind: "ensureTap", vmId, address });
  if (vm.spec.nat && lacks(nat)) effects.push({ kind: "ensureNat", vmId, address });
  if (!vm.spec.nat && nat.is === "present") effects.push({ kind: "ensureNoNat", vmId });
  return effects;
}

/** sshd's port and the lowest of those that the guest listens on; one that is forwarded is not given up for another. */
function wantedPorts(listeners: ObservedVm["listeners"], forwarded: ReadonlySet<number>): Set<number> {
  const ports = listeners.is === "present" ? listeners.list.filter(reachable).map(({ port }) => port) : [];
  const later = (port: number): number => (port === sshPort ? -1 : forwarded.has(port) ? 0 : 1);
  const ordered = [sshPort, ...ports].sort((a, b) => later(a) - later(b) || a - b);
  return new Set([...new Set(ordered)].slice(0, mostForwards));
}

/** Ports are forwarded while the guest listens on them; sshd's always. */
function reconcileForwards(vm: Vm, seen: ObservedVm, capabilities: Capabilities): Effect[] {
  if (!capabilities.portForwarding || !guestWanted(vm) || seen.forwards.is !== "present") return [];
  const forwarded = new Set(seen.forwards.list.map((forward) => forward.guestPort));
  const wanted = wantedPorts(seen.listeners, forwarded);
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
