/** Pure: what the rules of banger are made of, however this host's firewall spells them. */
import { createHash } from "node:crypto";
import type { VmId } from "../../src/model/model.js";
import type { HelperContext } from "../method.js";
import type { Network } from "./network.js";

/** All that differs from one moment to the other; everything else in the rules follows from the network. */
export interface Rules {
  /** The one address that each VM's tap may speak as. */
  speakers: ReadonlyMap<VmId, string>;
  /** Those of them that have NAT. */
  nats: ReadonlySet<VmId>;
}

export interface RulesSeen extends Rules {
  /** Every rule is there that belongs to this state. */
  whole: boolean;
}

export interface Firewall {
  read(context: HelperContext, network: Network): Promise<RulesSeen>;
  /** Makes the rules those of this state, whatever they were. */
  write(context: HelperContext, network: Network, rules: Rules): Promise<void>;
  /** Takes every rule away; success where there is none. */
  remove(context: HelperContext, network: Network): Promise<void>;
}

/** By chain: the rules in it, in order, each with the comment by which it is known again. */
export type Chains = ReadonlyMap<string, readonly { text: string; comment: string }[]>;

/** A rule whose comment changes with its text, so that one of an older banger is not taken for it. */
export const rule = (text: string): { text: string; comment: string } => ({
  text,
  comment: `banger-${createHash("sha256").update(text).digest("hex").slice(0, 12)}`,
});

/** Whether these comments, by chain and in order, are just those of the rules. */
export function sameRules(chains: Chains, seen: ReadonlyMap<string, readonly string[]>): boolean {
  const comments = (list: Iterable<string>) => [...list].join(" ");
  return [...chains].every(
    ([chain, rules]) =>
      seen.has(chain) && comments(seen.get(chain) ?? []) === comments(rules.map(({ comment }) => comment)),
  );
}

/** Without the VMs that `keep` denies. */
export function onlyFor({ speakers, nats }: Rules, keep: (id: VmId) => boolean): Rules {
  return {
    speakers: new Map([...speakers].filter(([id]) => keep(id))),
    nats: new Set([...nats].filter((id) => speakers.has(id) && keep(id))),
  };
}
