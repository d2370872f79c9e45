/** So many taps lie ready on the bridge, down, and mute by the firewall's rules. */
import type { Method } from "../method.js";
import { ownTaps, readLinks, requireBridge } from "../network/links.js";
import { guestNetwork } from "../network/network.js";
import { attachTap, createTap, deleteLink, freePoolTap } from "../network/taps.js";
import { allOrNothing, inTurn } from "../network/turns.js";

/** Names of the pool that something else has are passed over. @throws HostFailure `bridge_missing` */
export const ensureTapPool: Method<"ensureTapPool"> = ({ size }, context) =>
  inTurn(context, async () => {
    const network = guestNetwork(context.metadata);
    const links = await readLinks(context);
    requireBridge(links, network);
    const { pool } = ownTaps(links, context);
    for (const name of pool.slice(size)) await deleteLink(context, name);
    await allOrNothing(async (undo) => {
      const made: string[] = [];
      while (pool.length + made.length < size) {
        const name = freePoolTap(links, made);
        made.push(name);
        await createTap(context, name);
        undo(() => deleteLink(context, name));
        await attachTap(context, network, name);
      }
    });
    return {};
  });
