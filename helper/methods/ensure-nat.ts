/** Gives the VM's address NAT. */
import { gateGuestAddress } from "../gates.js";
import type { Method } from "../method.js";
import { readRules, writeRules } from "../network/firewall.js";
import { ensureForwarding } from "../network/forwarding.js";
import { ownTap, readLinks, requireBridge } from "../network/links.js";
import { guestNetwork } from "../network/network.js";
import { inTurn } from "../network/turns.js";
import { HostFailure } from "../refusal.js";

/**
 * Only for the address that the VM's tap speaks as: another one would be another VM's.
 * @throws Refusal `guest-address`, `own-bridge`, `own-tap`; HostFailure `bridge_missing`, `tap_missing`
 */
export const ensureNat: Method<"ensureNat"> = ({ vmId, address }, context) =>
  inTurn(context, async () => {
    const network = guestNetwork(context.metadata);
    gateGuestAddress(context.metadata.network, address);
    const links = await readLinks(context);
    requireBridge(links, network);
    const { speakers, nats, whole } = await readRules(context, network);
    if (ownTap(links, context, vmId) === undefined || speakers.get(vmId) !== address)
      throw new HostFailure("tap_missing", `VM ${vmId} has no tap that speaks as ${address}`);
    await ensureForwarding(context, network);
    if (!whole || !nats.has(vmId)) {
      await writeRules(context, network, { speakers, nats: new Set([...nats, vmId]) });
    }
    return {};
  });
