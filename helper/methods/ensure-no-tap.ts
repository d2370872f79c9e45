/** The VM's tap is gone, and with it what its address was allowed. */
import { vmHandles } from "../../src/home/handles.js";
import type { Method } from "../method.js";
import { readRules, writeRules } from "../network/firewall.js";
import { ownTap, readLinks } from "../network/links.js";
import { guestNetwork } from "../network/network.js";
import { onlyFor } from "../network/rules.js";
import { deleteLink } from "../network/taps.js";
import { inTurn } from "../network/turns.js";

/** NAT goes with the tap, since it is an address's and the next VM may have that one. @throws Refusal `own-tap` */
export const ensureNoTap: Method<"ensureNoTap"> = ({ vmId }, context) =>
  inTurn(context, async () => {
    const network = guestNetwork(context.metadata);
    const links = await readLinks(context);
    const tap = ownTap(links, context, vmId);
    if (tap !== undefined) await deleteLink(context, tap.ifname);
    const rules = await readRules(context, network);
    if (rules.speakers.has(vmId)) {
      const stays = (id: string) => id !== vmId && links.has(vmHandles(context.metadata.home, id).tap);
      await writeRules(context, network, onlyFor(rules, stays));
    }
    return {};
  });
