/** The host's resolver asks the daemon for names in `.vm`. */
import type { Method } from "../method.js";
import { readLinks, requireBridge } from "../network/links.js";
import { guestNetwork } from "../network/network.js";
import { routeNames } from "../network/resolver.js";
import { inTurn } from "../network/turns.js";

/**
 * Where the bridge has no carrier, which is while no guest runs, the resolver leaves its settings unused.
 * @throws Refusal `own-bridge`; HostFailure `bridge_missing`
 */
export const ensureResolver: Method<"ensureResolver"> = ({ port }, context) =>
  inTurn(context, async () => {
    const network = guestNetwork(context.metadata);
    requireBridge(await readLinks(context), network);
    return { routed: await routeNames(context, network, port) };
  });
