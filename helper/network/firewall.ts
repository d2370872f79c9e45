/** Which firewall this host has, and what banger's rules in it are. */
import type { HelperContext } from "../method.js";
import { HostFailure } from "../refusal.js";
import { iptables } from "./iptables.js";
import type { Network } from "./network.js";
import { nft } from "./nft.js";
import type { Firewall, Rules, RulesSeen } from "./rules.js";

async function unlessMissing<T>(work: Promise<T>): Promise<{ value: T } | undefined> {
  try {
    return { value: await work };
  } catch (cause) {
    if (cause instanceof HostFailure && cause.code === "tool_missing") return undefined;
    throw cause;
  }
}

/** nftables wherever there is `nft`; iptables, which sees less of what guests do, only where there is not. */
async function first<T>(use: (firewall: Firewall) => Promise<T>): Promise<T> {
  const done = (await unlessMissing(use(nft))) ?? (await unlessMissing(use(iptables)));
  if (done !== undefined) return done.value;
  throw new HostFailure(
    "no_firewall",
    "neither nft nor iptables is installed, so guests could not be isolated from the host",
    "never",
    "apt-get install nftables",
  );
}

/** @throws HostFailure */
export const readRules = (context: HelperContext, network: Network): Promise<RulesSeen> =>
  first((firewall) => firewall.read(context, network));

/** @throws HostFailure */
export const writeRules = (context: HelperContext, network: Network, rules: Rules): Promise<void> =>
  first((firewall) => firewall.write(context, network, rules));

/**
 * Of either: nftables may have been installed after rules were made in iptables. A host whose rules iptables cannot
 * read has none of ours there.
 * @throws HostFailure
 */
export async function removeRules(context: HelperContext, network: Network): Promise<void> {
  const done = await unlessMissing(nft.remove(context, network));
  try {
    await unlessMissing(iptables.remove(context, network));
  } catch (cause) {
    if (done === undefined) throw cause;
  }
}
