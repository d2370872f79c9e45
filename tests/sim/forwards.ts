/** Forwards of the simulated host: the network process's, and the daemon's, which go with it. */
import type { Clock } from "../../src/lib/clock.js";
import { BangerError } from "../../src/lib/errors.js";
import type { Effect, Forward, VmId } from "../../src/model/model.js";
import type { Hands } from "./disks.js";
import type { SimHost } from "./host.js";

type EffectOf<K extends Effect["kind"]> = Extract<Effect, { kind: K }>;

const ownOf = (host: SimHost, id: VmId): Forward[] => host.own.get(id) ?? [];

export const forwardsOf = (host: SimHost, id: VmId): Forward[] => [
  ...(host.vm(id).network?.forwards ?? []),
  ...ownOf(host, id),
];

/** What a look shows: only a network process that answers has any. */
export function seenForwards(host: SimHost, id: VmId): { list: Forward[] } | null {
  const { network } = host.vm(id);
  return network === null || network.hung ? null : { list: forwardsOf(host, id) };
}

export function ensureForward(
  { host, running, change }: Hands,
  clock: Clock,
  { vmId, guestPort, loopback }: EffectOf<"ensureForward">,
): void {
  if (host.refusesForwards)
    throw new BangerError("host_failed", `${guestPort}: refused at ${clock.now()}`, { retry: "later" });
  const hostPort = host.faulty(0.2) ? guestPort + 10_000 : guestPort;
  change(() => {
    running(vmId);
    const { network } = host.vm(vmId);
    if (loopback === undefined && (network === null || network.hung))
      throw new BangerError("network_silent", "no network process answers", { retry: "later" });
    const list = loopback === undefined ? (network?.forwards ?? []) : ownOf(host, vmId);
    if (list.some((each) => each.guestPort === guestPort)) return;
    const forward = { guestPort, hostPort, ...(loopback !== undefined && { loopback }) };
    if (loopback === undefined) list.push(forward);
    else host.own.set(vmId, [...list, forward]);
  });
}

export function ensureNoForward(
  { host, change }: Hands,
  { vmId, guestPort, loopback }: EffectOf<"ensureNoForward">,
): void {
  const others = (list: Forward[]) => list.filter((each) => each.guestPort !== guestPort);
  change(() => {
    const { network } = host.vm(vmId);
    if (loopback !== undefined) host.own.set(vmId, others(ownOf(host, vmId)));
    else if (network !== null) network.forwards = others(network.forwards);
  });
}
