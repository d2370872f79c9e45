/** Bridge, its address, and the firewall's rules for those behind it. */

import { vmHandles } from "../../src/home/handles.js";
import { type Ipv4Network, networkOf } from "../../src/home/ipv4.js";
import type { HelperContext, Method } from "../method.js";
import { readRules, removeRules, writeRules } from "../network/firewall.js";
import { ensureForwardAccepts, ensureNoForwardAccepts } from "../network/forward-policy.js";
import { ensureForwarding, forwardFromBridge } from "../network/forwarding.js";
import { hasAddress, isUp, type Link, type Links, ownBridge, readLinks } from "../network/links.js";
import { guestNetwork, type Network } from "../network/network.js";
import { onlyFor } from "../network/rules.js";
import { deleteLink, ensureNoIpv6 } from "../network/taps.js";
import { allOrNothing, inTurn } from "../network/turns.js";
import { HostFailure } from "../refusal.js";

const overlaps = (one: Ipv4Network, other: Ipv4Network): boolean =>
  one.base < other.base + 2 ** (32 - other.prefixLength) &&
  other.base < one.base + 2 ** (32 - one.prefixLength);

/** @throws HostFailure `network_in_use` where another interface lies in the guests' network, or it in that one's */
function requireFree(links: Links, { bridge, address, prefixLength, cidr }: Network): void {
  for (const { ifname, addr_info } of links.values()) {
    if (ifname === bridge) continue;
    for (const { family, local, prefixlen } of addr_info) {
      if (family !== "inet" || local === undefined || prefixlen === undefined) continue;
      if (!overlaps(networkOf(local, prefixlen), networkOf(address, prefixLength))) continue;
      const what = `${ifname} has ${local}/${prefixlen}, which overlaps the guests' network ${cidr}`;
      throw new HostFailure(
        "network_in_use",
        what,
        "never",
        "set cidr and bridge_ip, then: banger system install",
      );
    }
  }
}

/** In one request, so that there is never a bridge of our name without the address that tells it ours. */
async function create({ run }: HelperContext, { bridge, mac }: Network): Promise<void> {
  const quiet = ["stp_state", "0", "forward_delay", "0", "mcast_snooping", "0"];
  await run("ip", ["link", "add", "name", bridge, "address", mac, "type", "bridge", ...quiet]);
}

async function configure(context: HelperContext, network: Network, found: Link | undefined): Promise<void> {
  const { bridge, address, prefixLength } = network;
  await ensureNoIpv6(bridge);
  await forwardFromBridge(network);
  if (found === undefined || !hasAddress(found, network)) {
    await context.run("ip", ["address", "replace", `${address}/${prefixLength}`, "dev", bridge]);
  }
  if (found === undefined || !isUp(found)) await context.run("ip", ["link", "set", "dev", bridge, "up"]);
}

/** @throws Refusal `own-bridge`; HostFailure `network_in_use`, `no_firewall` */
export const ensureBridge: Method<"ensureBridge"> = (_params, context) =>
  inTurn(context, async () => {
    const network = guestNetwork(context.metadata);
    const links = await readLinks(context);
    const found = ownBridge(links, network);
    if (found === undefined || !hasAddress(found, network)) requireFree(links, network);
    const rules = await readRules(context, network);
    const kept = onlyFor(rules, (id) => links.has(vmHandles(context.metadata.home, id).tap));
    await allOrNothing(async (undo) => {
      if (found === undefined) {
        undo(() => removeRules(context, network));
        undo(() => ensureNoForwardAccepts(context, network));
        await create(context, network);
        undo(() => deleteLink(context, network.bridge));
      }
      // Before anything can pass.
      if (!rules.whole || kept.speakers.size < rules.speakers.size) await writeRules(context, network, kept);
      await ensureForwardAccepts(context, network);
      await configure(context, network, found);
      if (kept.nats.size > 0) await ensureForwarding(context, network);
    });
    return {};
  });
