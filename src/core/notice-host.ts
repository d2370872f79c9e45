/** Pure: what a look at the host's network tells the log, and how long the start of a VM waits for that network. */
import { event, hostStream, type NewEvent, vmStream } from "../model/events.js";
import { type HostNetwork, networkFits, type SeenNetwork, tellLossAt } from "../model/host-network.js";
import type { ObservedVm, Vm } from "../model/model.js";

/** That it is all there, and that the bridge is gone again; of the rest only what fails is worth an event. */
export function noticeHost(host: HostNetwork, seen: SeenNetwork, now: number): NewEvent[] {
  if (host.wanted === null) return [];
  if (host.phase !== "ready")
    return networkFits(host.wanted, seen) ? [event(hostStream, "host.network_ready", {})] : [];
  return seen.bridge.is === "absent" && now >= tellLossAt(host.losses)
    ? [event(hostStream, "host.network_lost", {})]
    : [];
}

/** Longer than the loop waits between two tries. */
const patienceMs = 40_000;

/** A start that has come to its tap, or past it, and finds no bridge. */
const waits = ({ step }: Vm, { bridge, process }: ObservedVm): boolean =>
  (step === "network" || step === "process") && bridge.is === "absent" && process.is === "absent";

/** How long the start waits for the bridge, in ms since the epoch: so long this daemon has had to make it. */
export const bridgeDeadline = (vm: Vm, seen: ObservedVm, { wantedAt }: HostNetwork): number | null =>
  waits(vm, seen) ? Math.max(vm.changedAt, wantedAt) + patienceMs : null;

/** A start ends that waits, until `deadlineAt`, for a bridge which cannot be made: with what is wrong with it. */
export function noticeNoBridge(vm: Vm, deadlineAt: number, host: HostNetwork, now: number): NewEvent[] {
  const cause = host.error?.effect === "ensureBridge" ? host.error : null;
  if (vm.step === null || (now < deadlineAt && cause?.retry !== "never")) return [];
  return [
    event(vmStream(vm.id), "vm.step_failed", {
      step: vm.step,
      code: cause?.code ?? "bridge_missing",
      message: `the host's bridge does not exist${cause === null ? "" : `: ${cause.message}`}`,
      hint: cause?.hint ?? "banger doctor",
      retry: "later",
    }),
  ];
}
