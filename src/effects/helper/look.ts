/** What one look of the helper says of each VM, in the words of an observation. */
import type { Result } from "../../../helper/contract.js";
import { openKey } from "../../model/fits.js";
import { absentNetwork, type SeenNetwork, unknownNetwork } from "../../model/host-network.js";
import type { ObservedVm, Part, Seen, VmId } from "../../model/model.js";
import type { HelperCalls } from "./calls.js";

/** What only root can see of a VM. */
export interface HeldByKernel extends Pick<ObservedVm, "rootDevice" | "bridge" | "network" | "policy"> {
  jail: Seen;
}

export interface HelperSight {
  network: SeenNetwork;
  /** Every VM of which something is there. */
  ids: ReadonlySet<VmId>;
  of(id: VmId): HeldByKernel;
  /** What holds for every other VM. */
  unlisted: HeldByKernel;
}

type Look = Result<"look">;
type SeenIds = Look["taps"];

const present = { is: "present" } as const;
const absent = { is: "absent" } as const;

const idsOf = (seen: SeenIds): readonly VmId[] => ("ids" in seen ? seen.ids : []);

/** A kind of handles of which nothing is known says nothing of any VM. */
function handle(kind: SeenIds): (id: VmId) => Seen {
  if ("unknown" in kind) return () => ({ is: "unknown", cause: kind.unknown });
  const ids = new Set(kind.ids);
  return (id) => (ids.has(id) ? present : absent);
}

/** Of what is whole, and of what is left that makes no whole one. */
function part(wholes: SeenIds, strays: SeenIds): (id: VmId) => Part {
  const [whole, stray] = [handle(wholes), handle(strays)];
  return (id) => {
    const seen = whole(id);
    if (seen.is === "present") return { ...present, whole: true };
    const rest = stray(id);
    if (rest.is === "present") return { ...present, whole: false };
    return seen.is === "unknown" ? seen : rest;
  };
}

/** What the look says; `undefined` where there is no helper, and so nothing of what it makes. */
export function sightOf(look: Look | { unknown: string } | undefined): HelperSight {
  if (look === undefined) return sightless(absent, absentNetwork);
  if ("unknown" in look)
    return sightless({ is: "unknown", cause: look.unknown }, unknownNetwork(look.unknown));
  const network = networkOf(look);
  const { bridge } = network;
  const { taps, strayTaps, nats, rootDevices, strayDevices, jails } = look;
  const [rootDevice, tap] = [part(rootDevices, strayDevices), part(taps, strayTaps)];
  const [nat, jail] = [handle(nats), handle(jails)];
  const policy = (id: VmId) => {
    const seen = nat(id);
    return seen.is === "present" ? { ...seen, key: openKey, fresh: true } : seen;
  };
  const of = (id: VmId) => ({
    ...{ rootDevice: rootDevice(id), jail: jail(id) },
    ...{ bridge, network: tap(id), policy: policy(id) },
  });
  return {
    network,
    ids: new Set([taps, strayTaps, nats, rootDevices, strayDevices, jails].flatMap(idsOf)),
    of,
    // No VM has the empty id.
    unlisted: of(""),
  };
}

function networkOf({ bridge, tapPool, resolver }: Look): SeenNetwork {
  const unknown = ({ unknown: cause }: { unknown: string }) => ({ is: "unknown", cause }) as const;
  const routed = (port: number | null): SeenNetwork["resolver"] => ({ ...present, port });
  return {
    bridge: typeof bridge === "object" ? unknown(bridge) : bridge ? present : absent,
    tapPool: "unknown" in tapPool ? unknown(tapPool) : { ...present, size: tapPool.size },
    resolver: resolver === null ? absent : "unknown" in resolver ? unknown(resolver) : routed(resolver.port),
  };
}

function sightless(seen: Exclude<Seen, { is: "present" }>, network: SeenNetwork): HelperSight {
  const held = { rootDevice: seen, bridge: seen, network: seen, policy: seen, jail: seen };
  return { network, ids: new Set(), of: () => held, unlisted: held };
}

/** What the helper says when it is asked now; whatever goes wrong, the rest of an observation continues. */
export async function lookThrough(helper: HelperCalls, signal: AbortSignal): Promise<HelperSight> {
  try {
    return sightOf(await helper.call("look", {}, signal));
  } catch (error) {
    return sightOf({ unknown: (error as Error).message });
  }
}

/** The directory of a VM's sockets together with the jail of its VMM. */
export function runtimeOf(directory: Seen, jail: Seen): Part {
  if (directory.is === "present") return { ...present, whole: true };
  if (jail.is === "present") return { ...present, whole: false };
  return directory.is === "unknown" ? directory : jail;
}
