/** Pure: the host's side of the guest's network with its policy, and ports of the VM's loopback address. */
import { policyFits } from "../model/fits.js";
import type { Capabilities, Effect, Listener, ObservedVm, Vm } from "../model/model.js";
import { guestWanted, isOver } from "./wanted.js";

const sshPort = 22;
/** A guest may listen on any number of ports, and each forward is a socket of the host's. */
export const mostForwards = 256;

export const onLoopback = ({ address }: Listener): boolean => address.startsWith("127.") || address === "::1";

export const reconcileNetwork = (vm: Vm, seen: ObservedVm, capabilities: Capabilities): Effect[] => [
  ...reconcileHostSide(vm, seen, capabilities),
  ...reconcileForwards(vm, seen, capabilities),
];

/** Wanted from the network step until the VMM has ended; the policy follows the spec all that time. */
function reconcileHostSide(vm: Vm, seen: ObservedVm, capabilities: Capabilities): Effect[] {
  const { process, bridge, network, policy } = seen;
  const { id: vmId, address } = vm;
  if (isOver(vm)) {
    if (process.is !== "absent") return [];
    return [
      ...(network.is === "present" ? [{ kind: "ensureNoNetwork", vmId } as const] : []),
      ...(policy.is === "present" ? [{ kind: "ensureNoPolicy", vmId } as const] : []),
    ];
  }
  const starts = vm.phase === "starting" && (vm.step === "network" || vm.step === "process");
  const made = starts && process.is === "absent";
  if (!made && !(guestWanted(vm) && process.is === "present")) return [];
  // Where the host does not tell, a start tries, and so learns why not; a guest that runs is left alone. All waits for a
  // bridge that is not there.
  const waits = capabilities.bridgeNetworking && bridge.is === "absent";
  const effects: Effect[] = [];
  const lacking = network.is === "absent" || (network.is === "present" && !network.whole);
  if (!waits && (lacking || (made && network.is === "unknown")))
    effects.push({ kind: "ensureNetwork", vmId, address });
  const fits = policyFits(vm, seen, capabilities);
  if (vm.spec.net.mode === "none") {
    if (policy.is === "present") effects.push({ kind: "ensureNoPolicy", vmId });
  } else if (!waits && (fits === false || (made && fits === undefined))) {
    effects.push({ kind: "ensurePolicy", vmId, address, net: vm.spec.net });
  }
  return effects;
}

/** Where each port that is to be forwarded leads: to an address of the guest's loopback, or to its network interface. */
type WantedPorts = Map<number, string | undefined>;

/** Each listener's port; a server that can be reached through the interface is not reached in another way. */
function targetsOf(listeners: ObservedVm["listeners"]): WantedPorts {
  const targets: WantedPorts = new Map([[sshPort, undefined]]);
  const list = listeners.is === "present" ? listeners.list.filter(({ proto }) => proto === "tcp") : [];
  // In whatever order the guest tells them, 127.0.0.1 goes before ::1.
  for (const listener of list.sort((a, b) => (a.address < b.address ? -1 : 1))) {
    if (!onLoopback(listener)) targets.set(listener.port, undefined);
    else if (!targets.has(listener.port)) targets.set(listener.port, listener.address);
  }
  return targets;
}

/** sshd's port and the lowest of those that the guest listens on; one that is forwarded is not dropped for another. */
function wantedPorts(listeners: ObservedVm["listeners"], forwarded: ReadonlySet<number>): WantedPorts {
  const later = (port: number): number => (port === sshPort ? -1 : forwarded.has(port) ? 0 : 1);
  const targets = [...targetsOf(listeners)].sort(([a], [b]) => later(a) - later(b) || a - b);
  return new Map(targets.slice(0, mostForwards));
}

/** Ports are forwarded while the guest listens on them; sshd's always. */
function reconcileForwards(vm: Vm, seen: ObservedVm, capabilities: Capabilities): Effect[] {
  if (!capabilities.portForwarding || !guestWanted(vm) || seen.forwards.is !== "present") return [];
  const { list } = seen.forwards;
  const forwarded = new Set(list.map(({ guestPort }) => guestPort));
  const wanted = wantedPorts(seen.listeners, forwarded);
  const to = { vmId: vm.id, address: vm.address };
  const effects: Effect[] = [...wanted]
    .filter(([guestPort]) => !forwarded.has(guestPort))
    .map(([guestPort, loopback]) => ({
      ...({ kind: "ensureForward", ...to, guestPort } as const),
      ...(loopback !== undefined && { loopback }),
    }));
  if (seen.listeners.is !== "present") return effects;
  for (const forward of list) {
    const { guestPort, loopback } = forward;
    // One that leads elsewhere by now makes room first: the next look misses it.
    if (wanted.has(guestPort) && wanted.get(guestPort) === loopback) continue;
    effects.push({ kind: "ensureNoForward", ...to, ...forward });
  }
  return effects;
}
