/** Pure: banger's rules as nftables spells them, and back from what `nft -j` prints. */
import { firewallTable, type Home, parseTap, tapPatterns, vmHandles } from "../../src/home/handles.js";
import type { VmId } from "../../src/model/model.js";
import type { Network } from "./network.js";
import { type Chains, type Rules, type RulesSeen, rule, sameRules } from "./rules.js";

interface Chain {
  name: string;
  /** The hook, for a chain that the kernel itself enters. */
  hook?: string;
  rules: readonly string[];
}

/**
 * Frames, as they come from a tap. A guest is bound to one Ethernet and one IPv4 address, in what it sends and in what
 * it says of itself by ARP; IPv6, VLAN tags (whose frames have another type) and everything else end here. A tap that
 * the set does not know is mute. The host's own frames to the guests do not come from a tap.
 */
const frames: readonly Chain[] = [
  {
    name: "guest",
    rules: [
      "ether type arp arp htype 1 arp ptype ip arp hlen 6 arp plen 4 arp operation { request, reply } " +
        "iifname . ether saddr . arp saddr ip @speakers iifname . arp saddr ether . arp saddr ip @speakers accept",
      "ether type ip iifname . ether saddr . ip saddr @speakers accept",
      "drop",
    ],
  },
  {
    name: "from-taps",
    hook: "filter hook prerouting priority -300",
    rules: [`iifname "${tapPatterns.vm}" jump guest`, `iifname "${tapPatterns.pool}" drop`],
  },
];

/**
 * Packets, of which the kernel sees the bridge as the interface. The verdict "accept" ends only our own chain: what
 * another table drops (a host that denies all incoming connections, or Docker's chain; see forward-policy.ts) stays
 * dropped, while our drops are final whatever others accept. Where br_netfilter is loaded, what guests send each other
 * passes these chains too, with the bridge on both sides.
 */
const packets = ({ bridge, address }: Network): readonly Chain[] => [
  {
    name: "before-routing",
    // Before any DNAT, and before the kernel looks whether route_localnet lets such packets in.
    hook: "filter hook prerouting priority -300",
    rules: [`iifname "${bridge}" ip daddr 127.0.0.0/8 drop`],
  },
  {
    name: "to-host",
    hook: "filter hook input priority 0",
    rules: [
      `iifname != "${bridge}" accept`,
      `ip saddr ${address} drop`,
      "ct state established,related accept",
      // Of the host's addresses only the bridge's: what listens there, or everywhere, can be reached. A loopback
      // service is not, even where somebody's DNAT leads to it.
      `ip daddr ${address} accept`,
      "drop",
    ],
  },
  {
    name: "through-host",
    hook: "filter hook forward priority 0",
    rules: [
      `iifname != "${bridge}" oifname != "${bridge}" accept`,
      `iifname "${bridge}" oifname "${bridge}" accept`,
      `oifname "${bridge}" ct state established,related accept`,
      `iifname "${bridge}" ip saddr @nats accept`,
      // A service of the host at the bridge's address that is a container's, by the DNAT of its publisher.
      `iifname "${bridge}" ct status dnat ct original ip daddr ${address} accept`,
      // A guest without NAT is told at once, rather than left to wait.
      `iifname "${bridge}" reject with icmpx type admin-prohibited`,
      "drop",
    ],
  },
  {
    name: "out",
    hook: "nat hook postrouting priority 100",
    rules: [`oifname != "${bridge}" ip saddr @nats masquerade`],
  },
];

const tables = (network: Network) => [
  { family: "bridge", set: "speakers", chains: frames },
  { family: "inet", set: "nats", chains: packets(network) },
];

const key = (family: string, chain: string): string => `${family} ${chain}`;
const rulesOf = ({ rules }: Chain) => rules.map(rule);

const setText = (name: string, type: string, elements: readonly string[]): string[] => [
  `  set ${name} {`,
  `    type ${type}`,
  ...(elements.length > 0 ? [`    elements = { ${elements.join(",\n      ")} }`] : []),
  "  }",
];

const chainText = (chain: Chain): string[] => [
  `  chain ${chain.name} {`,
  ...(chain.hook === undefined ? [] : [`    type ${chain.hook}; policy accept;`]),
  ...rulesOf(chain).map(({ text, comment }) => `    ${text} comment "${comment}"`),
  "  }",
];

/** What takes both tables away, whether they are there or not. */
export const nftNothing = ["bridge", "inet"]
  .flatMap((family) => [`add table ${family} ${firewallTable}`, `delete table ${family} ${firewallTable}\n`])
  .join("\n");

/** One transaction: no packet ever meets half of the rules, or none. */
export function nftText(home: Home, network: Network, { speakers, nats }: Rules): string {
  const sets = {
    speakers: setText(
      "speakers",
      "ifname . ether_addr . ipv4_addr",
      [...speakers].map(([id, address]) => {
        const { tap, mac } = vmHandles(home, id);
        return `"${tap}" . ${mac} . ${address}`;
      }),
    ),
    nats: setText(
      "nats",
      "ipv4_addr",
      [...nats].map((id) => speakers.get(id)).filter((address) => address !== undefined),
    ),
  };
  return [
    nftNothing,
    ...tables(network).flatMap(({ family, set, chains }) => [
      `table ${family} ${firewallTable} {`,
      ...sets[set as keyof typeof sets],
      ...chains.flatMap(chainText),
      "}",
    ]),
    "",
  ].join("\n");
}

export interface NftObject {
  set?: { name: string; elem?: unknown[] };
  rule?: { family: string; chain: string; comment?: string };
}

/** The VM that this element of `speakers` is about, if it says of it what it should. */
function speaker(home: Home, element: unknown): [VmId, string] | undefined {
  const { concat } = (element ?? {}) as { concat?: unknown[] };
  const [tap, mac, address] = Array.isArray(concat) ? concat.map(String) : [];
  const id = parseTap(tap ?? "");
  return id !== undefined && address !== undefined && mac === vmHandles(home, id).mac
    ? [id, address]
    : undefined;
}

/** From everything that `nft -j` lists of both tables. */
export function nftState(home: Home, network: Network, objects: readonly NftObject[]): RulesSeen {
  const elements = (name: string) => objects.find(({ set }) => set?.name === name)?.set?.elem ?? [];
  const spoken = elements("speakers").map((element) => speaker(home, element));
  const speakers = new Map(spoken.filter((each) => each !== undefined));
  const out = elements("nats").map(String);
  const nats = [...speakers].filter(([, address]) => out.includes(address)).map(([id]) => id);

  const expected: Chains = new Map(
    tables(network).flatMap(({ family, chains }) =>
      chains.map((chain) => [key(family, chain.name), rulesOf(chain)] as const),
    ),
  );
  const seen = new Map<string, string[]>();
  for (const { rule: each } of objects) {
    if (each === undefined) continue;
    const chain = key(each.family, each.chain);
    seen.set(chain, [...(seen.get(chain) ?? []), each.comment ?? ""]);
  }
  const known = speakers.size === spoken.length && nats.length === out.length;
  return { speakers, nats: new Set(nats), whole: known && sameRules(expected, seen) };
}
