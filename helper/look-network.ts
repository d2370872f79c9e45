/** What of the network is there: the bridge, how many taps lie ready on it, and which VMs have taps and NAT. */
import { vmHandles } from "../src/home/handles.js";
import type { VmId } from "../src/model/model.js";
import type { Result } from "./contract.js";
import type { HelperContext } from "./method.js";
import { readRules } from "./network/firewall.js";
import { forwardAccepts } from "./network/forward-policy.js";
import { isForwarding } from "./network/forwarding.js";
import { hasAddress, isUp, type Links, ownBridge, ownTaps, readLinks } from "./network/links.js";
import { guestNetwork, type Network } from "./network/network.js";
import type { RulesSeen } from "./network/rules.js";
import { isAttached } from "./network/taps.js";
import { inTurn } from "./network/turns.js";

type NetworkLook = Pick<Result<"look">, "bridge" | "tapPool" | "taps" | "strayTaps" | "nats">;

async function bridgeIsWhole(
  context: HelperContext,
  network: Network,
  links: Links,
  rules: RulesSeen,
): Promise<boolean> {
  const bridge = ownBridge(links, network);
  if (bridge === undefined || !isUp(bridge) || !hasAddress(bridge, network) || !rules.whole) return false;
  if (rules.nats.size > 0 && !(await isForwarding())) return false;
  return forwardAccepts(context, network);
}

/** VMs whose tap is all that it should be, and those of which something else is left. */
function sortTaps(
  context: HelperContext,
  network: Network,
  links: Links,
  { speakers }: RulesSeen,
): { whole: VmId[]; stray: VmId[] } {
  const { vms } = ownTaps(links, context);
  const isWhole = (id: VmId): boolean => {
    const link = links.get(vmHandles(context.metadata.home, id).tap);
    return link !== undefined && isUp(link) && isAttached(link, network) && speakers.has(id);
  };
  const ids = [...new Set([...vms, ...speakers.keys()])].sort();
  return { whole: ids.filter(isWhole), stray: ids.filter((id) => !isWhole(id)) };
}

/** What cannot be read is unknown, with its cause; this never throws but for the call's own deadline. */
export const lookAtNetwork = (context: HelperContext): Promise<NetworkLook> =>
  inTurn(context, async () => {
    const { signal } = context;
    const asUnknown = (cause: unknown): { unknown: string } => {
      signal.throwIfAborted();
      return { unknown: cause instanceof Error ? cause.message : String(cause) };
    };
    try {
      const network = guestNetwork(context.metadata);
      const links = await readLinks(context);
      const rules = await readRules(context, network);
      const { whole, stray } = sortTaps(context, network, links, rules);
      return {
        bridge: await bridgeIsWhole(context, network, links, rules).catch(asUnknown),
        tapPool: { size: ownTaps(links, context).pool.length },
        taps: { ids: whole },
        strayTaps: { ids: stray },
        nats: { ids: [...rules.nats].sort() },
      };
    } catch (cause) {
      const unknown = asUnknown(cause);
      return { bridge: unknown, tapPool: unknown, taps: unknown, strayTaps: unknown, nats: unknown };
    }
  });
