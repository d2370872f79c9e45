/**
 * Pure: banger's rules as iptables spells them, for a host without nftables. It does not see ARP, nor what passes from
 * one guest to another over the bridge unless br_netfilter is on: there a guest can still claim another's address.
 * What reaches the host or leaves it is bound to the guest's addresses all the same.
 */
import { firewallTable, type Home, isVmId, vmHandles } from "../../src/home/handles.js";
import { ipv4Pattern } from "../../src/home/ipv4.js";
import type { VmId } from "../../src/model/model.js";
import type { Network } from "./network.js";
import { type Chains, type Rules, type RulesSeen, rule, sameRules } from "./rules.js";

export type Table = "filter" | "nat" | "raw";
export const iptablesTables: readonly Table[] = ["filter", "nat", "raw"];

const chainPrefix = firewallTable.toUpperCase();
const chain = (name: string): string => `${chainPrefix}-${name}`;

/** Where the kernel's own chains enter ours. */
const entrances = ({ bridge }: Network): Record<Table, readonly (readonly [string, string])[]> => ({
  filter: [
    ["INPUT", `-i ${bridge} -j ${chain("INPUT")}`],
    ["FORWARD", `-i ${bridge} -j ${chain("FORWARD")}`],
    ["FORWARD", `-o ${bridge} -j ${chain("FORWARD")}`],
  ],
  nat: [["POSTROUTING", `-j ${chain("OUT")}`]],
  raw: [["PREROUTING", `-i ${bridge} -j ${chain("PREROUTING")}`]],
});

const speakerComment = (id: VmId, address: string): string => `tap-${id}-${address}`;
const natComment = (id: VmId): string => `nat-${id}`;

/** Our chains of that table. The host's own chains have the last word on what we return to them. */
function chains(table: Table, home: Home, network: Network, { speakers, nats }: Rules): Chains {
  const { bridge, address, cidr } = network;
  if (table === "raw") return new Map([[chain("PREROUTING"), [rule("-d 127.0.0.0/8 -j DROP")]]]);
  if (table === "nat") {
    return new Map([[chain("OUT"), [rule(`-s ${cidr} ! -o ${bridge} -j MASQUERADE`)]]]);
  }
  const bound = [...speakers].map(([id, from]) => ({
    text: `-s ${from}/32 -m mac --mac-source ${vmHandles(home, id).mac} -j RETURN`,
    comment: speakerComment(id, from),
  }));
  const out = [...nats].map((id) => ({
    text: `-s ${speakers.get(id)}/32 -j ACCEPT`,
    comment: natComment(id),
  }));
  const established = "-m conntrack --ctstate RELATED,ESTABLISHED";
  return new Map([
    [chain("GUEST"), [...bound, rule("-j DROP")]],
    [chain("NATS"), out],
    [
      chain("INPUT"),
      [
        rule(`-j ${chain("GUEST")}`),
        rule(`${established} -j RETURN`),
        rule(`-d ${address}/32 -j RETURN`),
        rule("-j DROP"),
      ],
    ],
    [
      chain("FORWARD"),
      [
        rule(`-i ${bridge} -j ${chain("GUEST")}`),
        rule(`-i ${bridge} -o ${bridge} -j ACCEPT`),
        rule(`-o ${bridge} ${established} -j ACCEPT`),
        rule(`-i ${bridge} -j ${chain("NATS")}`),
        rule(`-i ${bridge} -m conntrack --ctstate DNAT --ctorigdst ${address} -j ACCEPT`),
        rule(`-i ${bridge} -j REJECT --reject-with icmp-admin-prohibited`),
        rule("-j DROP"),
      ],
    ],
  ]);
}

/** What `iptables -t TABLE -S` printed, by table. */
export type Listings = Record<Table, string>;

const isAddress = new RegExp(`^${ipv4Pattern}$`);
const linesOf = (listing: string): string[] => listing.split("\n").map((line) => line.trim());
const commentOf = (line: string): string => /--comment "?([^"\s]+)/.exec(line)?.[1] ?? "";
/** A way in, as it is added and listed. */
const entrance = ([from, text]: readonly [string, string]): string => `-A ${from} ${text}`;

/** Whether this is one of the lines by which something enters our chains. */
const entersOurs = (line: string): boolean =>
  /^-A [A-Z]+ /.test(line) && line.includes(` -j ${chainPrefix}-`);

/** The state that the lines tell. */
export function iptablesState(home: Home, network: Network, listings: Listings): RulesSeen {
  const speakers = new Map<VmId, string>();
  const nats = new Set<VmId>();
  for (const comment of linesOf(listings.filter).map(commentOf)) {
    const [kind, id = "", address = ""] = comment.split("-");
    if (!isVmId(id)) continue;
    if (kind === "tap" && isAddress.test(address)) speakers.set(id, address);
    if (kind === "nat") nats.add(id);
  }
  const rules = { speakers, nats: new Set([...nats].filter((id) => speakers.has(id))) };
  const whole = iptablesTables.every((table) => {
    const lines = linesOf(listings[table]);
    const seen = new Map<string, string[]>();
    for (const line of lines) {
      const [what, name = ""] = line.split(" ");
      if (what === "-N") seen.set(name, []);
      if (what === "-A") seen.set(name, [...(seen.get(name) ?? []), commentOf(line)]);
    }
    const entered = entrances(network)[table].every((each) => lines.includes(entrance(each)));
    return entered && sameRules(chains(table, home, network, rules), seen);
  });
  return { ...rules, whole };
}

const transaction = (table: Table, lines: readonly string[]): string =>
  lines.length === 0 ? "" : [`*${table}`, ...lines, "COMMIT", ""].join("\n");

/** For `iptables-restore --noflush`: a chain that is named there is emptied, and filled as one with the rest. */
export function iptablesText(home: Home, network: Network, rules: Rules, listings: Listings): string {
  return iptablesTables
    .map((table) => {
      const listed = linesOf(listings[table]);
      const ours = [...chains(table, home, network, rules)];
      return transaction(table, [
        ...ours.map(([name]) => `:${name} - [0:0]`),
        ...ours.flatMap(([name, list]) =>
          list.map(({ text, comment }) => `-A ${name} ${text} -m comment --comment ${comment}`),
        ),
        // First of all, for another one's rule may let everything pass.
        ...entrances(network)
          [table].filter((each) => !listed.includes(entrance(each)))
          .map(([from, text]) => `-I ${from} 1 ${text}`),
      ]);
    })
    .join("");
}

/** Takes away whatever of ours is listed; empty where there is nothing. */
export function iptablesNothing(listings: Listings): string {
  return iptablesTables
    .map((table) => {
      const lines = linesOf(listings[table]);
      const ours = lines.filter((line) => line.startsWith(`-N ${chainPrefix}-`)).map((line) => line.slice(3));
      return transaction(table, [
        ...lines.filter(entersOurs).map((line) => line.replace("-A", "-D")),
        ...ours.map((name) => `-F ${name}`),
        ...ours.map((name) => `-X ${name}`),
      ]);
    })
    .join("");
}
