/**
 * A host whose FORWARD chain drops by default would drop what guests send too, however often nftables accepts it: a
 * packet passes every table's chain, and any of them may drop it. Docker sets that policy when it switches forwarding
 * on, and ufw always does. Incus and libvirt with nftables leave it to their users to fix. Here what enters or leaves
 * by our bridge is accepted at the chain's end, after everything that the host's other rules have to say, and only
 * while the policy is DROP; what guests may do is decided in banger's own chains alone.
 */
import type { HelperContext } from "../method.js";
import { HostFailure } from "../refusal.js";
import { waitForLock } from "./iptables.js";
import type { Network } from "./network.js";

const accepts = ({ bridge }: Network): readonly string[] =>
  ["-i", "-o"].map((side) => `-A FORWARD ${side} ${bridge} -m comment --comment banger -j ACCEPT`);

interface Forward {
  drops: boolean;
  /** Those of our rules that are there, as they were added. */
  accepted: readonly string[];
}

/** A host without iptables, or with rules that iptables cannot read, has nothing to fix here. */
async function look({ run }: HelperContext, network: Network): Promise<Forward> {
  try {
    const lines = (await run("iptables", [...waitForLock, "-S", "FORWARD"])).stdout.split("\n");
    const there = accepts(network).filter((each) => lines.includes(each));
    return { drops: lines.includes("-P FORWARD DROP"), accepted: there };
  } catch (cause) {
    if (cause instanceof HostFailure && ["tool_missing", "tool_failed"].includes(cause.code))
      return { drops: false, accepted: [] };
    throw cause;
  }
}

const argvOf = (rule: string, verb: "-A" | "-D"): string[] => [
  ...waitForLock,
  verb,
  ...rule.split(" ").slice(1),
];

/** Whether the FORWARD chain lets pass what our own chains do. */
export async function forwardAccepts(context: HelperContext, network: Network): Promise<boolean> {
  const { drops, accepted } = await look(context, network);
  return !drops || accepted.length === accepts(network).length;
}

export async function ensureForwardAccepts(context: HelperContext, network: Network): Promise<void> {
  const { drops, accepted } = await look(context, network);
  if (!drops) return;
  for (const rule of accepts(network)) {
    if (!accepted.includes(rule)) await context.run("iptables", argvOf(rule, "-A"));
  }
}

export async function ensureNoForwardAccepts(context: HelperContext, network: Network): Promise<void> {
  const { accepted } = await look(context, network);
  for (const rule of accepted) await context.run("iptables", argvOf(rule, "-D"));
}
