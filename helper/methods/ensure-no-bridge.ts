/** Everything that banger made of the network is gone, and forwarding is as it was before. */

import { vmHandles } from "../../src/home/handles.js";
import type { HelperContext, Method } from "../method.js";
import { removeRules } from "../network/firewall.js";
import { ensureNoForwardAccepts } from "../network/forward-policy.js";
import { restoreForwarding } from "../network/forwarding.js";
import { type Links, ownBridge, ownTaps, readLinks } from "../network/links.js";
import { guestNetwork, type Network } from "../network/network.js";
import { forgetNames } from "../network/resolver.js";
import { deleteLink } from "../network/taps.js";
import { inTurn } from "../network/turns.js";
import { Refusal } from "../refusal.js";

/** @throws Refusal where somebody attached an interface of theirs, which would lose its network with the bridge */
function requireOnlyOwnPorts(links: Links, { bridge }: Network, own: readonly string[]): void {
  for (const { ifname, master } of links.values()) {
    if (master !== bridge || own.includes(ifname)) continue;
    const what = `${ifname} is a port of ${bridge} and does not belong to banger`;
    throw new Refusal("own-ports", what, `ip link set dev ${ifname} nomaster`);
  }
}

/** The bridge goes last, since it carries the note of what forwarding was. @throws Refusal, HostFailure */
async function removeNetwork(context: HelperContext): Promise<void> {
  const network = guestNetwork(context.metadata);
  const links = await readLinks(context);
  const bridge = ownBridge(links, network);
  const { pool, vms } = ownTaps(links, context);
  const taps = [...pool, ...vms.map((id) => vmHandles(context.metadata.home, id).tap)];
  requireOnlyOwnPorts(links, network, taps);
  for (const tap of taps) await deleteLink(context, tap);
  if (bridge !== undefined) {
    await restoreForwarding(bridge);
    await forgetNames(context, network);
  }
  await ensureNoForwardAccepts(context, network);
  await removeRules(context, network);
  if (bridge !== undefined) await deleteLink(context, network.bridge);
}

/** @throws Refusal `own-bridge`, `own-ports` */
export const ensureNoBridge: Method<"ensureNoBridge"> = (_params, context) =>
  inTurn(context, async () => {
    await removeNetwork(context);
    return {};
  });
