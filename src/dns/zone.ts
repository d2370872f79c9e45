/** Pure: what the zones `vm` and the reverse one of the home's addresses say to one question. */
import type { Answer, Question } from "dns-packet";
import type { AddressRange } from "../home/addresses.js";
import { networkOf } from "../home/ipv4.js";
import type { State } from "../model/model.js";

/** Response codes of RFC 1035 (4.1.1) that a question can lead to. */
export type Verdict = "NOERROR" | "NXDOMAIN" | "REFUSED";

export interface Reply {
  verdict: Verdict;
  answers: Answer[];
  /** The zone's SOA, which tells a resolver how long to remember that there is nothing (RFC 2308). */
  authorities: Answer[];
}

/** Every VM that is not deleted, by name and by address. */
export interface Names {
  addressOf(name: string): string | undefined;
  nameOf(address: string): string | undefined;
}

/** Seconds. A name may be given to another VM at any moment, so nobody shall remember one for long. */
const ttl = 1;
const apex = "vm";
const reverseApex = ".in-addr.arpa";
const nameServer = "localhost";

/** The names of a state; computed anew only when its VMs have changed. */
export function namesOf(state: () => State): Names {
  let vms: State["vms"] | undefined;
  let addresses = new Map<string, string>();
  let names = new Map<string, string>();
  const fresh = () => {
    const present = state().vms;
    if (present === vms) return;
    vms = present;
    const live = Object.values(present).filter(({ phase }) => phase !== "deleted");
    addresses = new Map(live.map(({ name, address }) => [name, address]));
    names = new Map(live.map(({ name, address }) => [address, name]));
  };
  return {
    addressOf: (name) => {
      fresh();
      return addresses.get(name);
    },
    nameOf: (address) => {
      fresh();
      return names.get(address);
    },
  };
}

/** Answers for `vm` and for the addresses of the range; everything else is somebody else's and refused. */
export function answer(question: Question, names: Names, addresses: AddressRange): Reply {
  const { name, type, class: of = "IN" } = question;
  const asked = name.toLowerCase();
  if (of !== "IN" || type === "AXFR" || type === "IXFR") return refused;
  if (asked === apex) return about(apex, apexRecords(name, type));
  if (asked.endsWith(`.${apex}`)) {
    const address = names.addressOf(asked.slice(0, -apex.length - 1));
    return about(apex, address === undefined ? undefined : hostRecords(name, type, address));
  }
  const octets = asked.endsWith(reverseApex) ? asked.slice(0, -reverseApex.length).split(".").reverse() : [];
  const zone = reverseZone(octets, addresses);
  if (zone === undefined) return refused;
  const records = reverseRecords(name, type, octets, names);
  if (octets.length > zone.octets) return about(zone.name, records);
  return about(zone.name, [...(records ?? []), ...(type === "SOA" ? [soa(zone.name)] : [])]);
}

const refused: Reply = { verdict: "REFUSED", answers: [], authorities: [] };

/** The records that a zone has for a name: undefined when there is no such name, empty when none is of that type. */
function about(zone: string, records: Answer[] | undefined): Reply {
  if (records === undefined) return { verdict: "NXDOMAIN", answers: [], authorities: [soa(zone)] };
  return { verdict: "NOERROR", answers: records, authorities: records.length === 0 ? [soa(zone)] : [] };
}

function apexRecords(name: string, type: string): Answer[] {
  if (type === "SOA" || type === "ANY") return [{ ...soa(apex), name }];
  return type === "NS" ? [{ type: "NS", name, ttl, data: nameServer }] : [];
}

const hostRecords = (name: string, type: string, address: string): Answer[] =>
  type === "A" || type === "ANY" ? [{ type: "A", name, ttl, data: address }] : [];

/**
 * The reverse zone that a name of these octets lies in: as zones are cut at dots, one of them for a network that ends at
 * a dot, and else one for each part of the network that does.
 */
function reverseZone(octets: readonly string[], { network }: AddressRange) {
  const depth = Math.ceil(network.prefixLength / 8);
  const own = octets.slice(0, depth);
  if (own.length < depth || !own.every(isOctet)) return undefined;
  const lowest = [...own, "0", "0", "0"].slice(0, 4).join(".");
  if (networkOf(lowest, network.prefixLength).base !== network.base) return undefined;
  return { octets: depth, name: `${own.reverse().join(".")}${reverseApex}` };
}

function reverseRecords(
  name: string,
  type: string,
  octets: readonly string[],
  names: Names,
): Answer[] | undefined {
  if (octets.length > 4 || !octets.every(isOctet)) return undefined;
  // A name above an address has nothing itself, but it is there (RFC 8020).
  if (octets.length < 4) return [];
  const vm = names.nameOf(octets.join("."));
  if (vm === undefined) return undefined;
  return type === "PTR" || type === "ANY" ? [{ type: "PTR", name, ttl, data: `${vm}.${apex}` }] : [];
}

const isOctet = (label: string): boolean => /^(0|[1-9]\d{0,2})$/.test(label) && Number(label) <= 255;

const soa = (zone: string) =>
  ({
    type: "SOA",
    name: zone,
    ttl,
    data: {
      mname: nameServer,
      rname: `banger.${nameServer}`,
      // Nobody transfers the zone, so nobody compares serials.
      serial: 1,
      refresh: 60,
      retry: 60,
      expire: 60,
      minimum: ttl,
    },
  }) satisfies Answer;
