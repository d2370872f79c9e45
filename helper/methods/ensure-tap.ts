/** The VM has a tap on the bridge that its owner may open, and from which only this address may speak. */
import { vmHandles } from "../../src/home/handles.js";
import type { VmId } from "../../src/model/model.js";
import type { Params } from "../contract.js";
import { gateGuestAddress } from "../gates.js";
import type { HelperContext, Method } from "../method.js";
import { readRules, writeRules } from "../network/firewall.js";
import { isUp, type Links, ownTap, ownTaps, readLinks, requireBridge } from "../network/links.js";
import { guestNetwork, type Network } from "../network/network.js";
import { onlyFor, type Rules } from "../network/rules.js";
import { attachTap, createTap, deleteLink, freePoolTap, isAttached, placeGuest } from "../network/taps.js";
import { allOrNothing, inTurn } from "../network/turns.js";
import { Refusal } from "../refusal.js";

/** @throws Refusal where another VM's tap speaks as this address */
function requireUnspoken({ speakers }: Rules, vmId: VmId, address: string): void {
  for (const [id, spoken] of speakers) {
    if (spoken !== address || id === vmId) continue;
    throw new Refusal("one-address", `${address} is the address of VM ${id}`, `banger vm show ${id}`);
  }
}

/** Takes one of the pool, else makes one under such a name. */
async function spareTap(context: HelperContext, links: Links): Promise<string> {
  const [ready] = ownTaps(links, context).pool;
  if (ready !== undefined) return ready;
  const name = freePoolTap(links);
  await createTap(context, name);
  return name;
}

interface WantedTap extends Params<"ensureTap"> {
  network: Network;
  links: Links;
  /** What the rules were, and what they shall be. */
  before: Rules;
  after: Rules;
}

/** The VM's name comes last and at one with "up": a tap of that name has all that it needs. */
async function make(context: HelperContext, wanted: WantedTap): Promise<void> {
  const { vmId, network, links, before, after } = wanted;
  const { tap } = vmHandles(context.metadata.home, vmId);
  await allOrNothing(async (undo) => {
    let name = links.has(tap) ? tap : await spareTap(context, links);
    if (name !== tap) undo(() => deleteLink(context, name));
    const link = links.get(name);
    if (link === undefined || !isAttached(link, network)) await attachTap(context, network, name);
    await placeGuest(context, name, vmId);
    undo(() => writeRules(context, network, before));
    await writeRules(context, network, after);
    await context.run("ip", ["link", "set", "dev", name, ...(name === tap ? [] : ["name", tap]), "up"]);
    name = tap;
  });
}

/** @throws Refusal `guest-address`, `one-address`, `own-tap`, `own-bridge`; HostFailure `bridge_missing` */
export const ensureTap: Method<"ensureTap"> = ({ vmId, address }, context) =>
  inTurn(context, async () => {
    const network = guestNetwork(context.metadata);
    gateGuestAddress(context.metadata.network, address);
    const links = await readLinks(context);
    requireBridge(links, network);
    const tap = ownTap(links, context, vmId);
    const seen = await readRules(context, network);
    const before = onlyFor(seen, (id) => links.has(vmHandles(context.metadata.home, id).tap));
    requireUnspoken(before, vmId, address);
    const speaks = seen.whole && seen.speakers.get(vmId) === address;
    if (tap !== undefined && isUp(tap) && isAttached(tap, network) && speaks) {
      await placeGuest(context, tap.ifname, vmId);
      return {};
    }
    const after = { speakers: new Map([...before.speakers, [vmId, address]]), nats: before.nats };
    await make(context, { vmId, address, network, links, before, after });
    return {};
  });
