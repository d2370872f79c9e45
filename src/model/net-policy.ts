/** Pure: what a guest may reach, and how the network process is told (docs/network-process.md). */

/**
 * `public`: the internet, and nothing of the host, its LAN or other VMs. `none`: nothing. `allow`: what `allow` lists,
 * and no name or address beside it. `all`: also the LAN and the host's addresses in it.
 */
export const netModes = ["public", "none", "allow", "all"] as const;
export type NetMode = (typeof netModes)[number];

/**
 * Each entry is HOST[:PORT[-PORT]]: a name, `*.name`, an IPv4 address or network; or `host:PORT`, a port of the host's
 * loopback.
 */
export interface NetPolicy {
  mode: NetMode;
  allow: string[];
  deny: string[];
}

export const publicNet: NetPolicy = { mode: "public", allow: [], deny: [] };

export type NetTarget =
  | { kind: "host"; port: number }
  | { kind: "network"; cidr: string; low: number; high: number }
  | { kind: "name"; pattern: string; low: number; high: number };

const label = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?";
const namePattern = new RegExp(`^(\\*\\.)?${label}(\\.${label})*$`);
const octet = "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const networkPattern = new RegExp(`^${octet}(\\.${octet}){3}(/(3[0-2]|[12]?\\d))?$`);

function portsOf(text: string | undefined): { low: number; high: number } | undefined {
  if (text === undefined) return { low: 0, high: 65_535 };
  const [, low, high = low] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  const range = { low: Number(low), high: Number(high) };
  return range.low >= 1 && range.low <= range.high && range.high <= 65_535 ? range : undefined;
}

/** The network that an address and a length name, with the bits after the length cleared. */
function cidrOf(text: string): string {
  const [address = "", bits = "32"] = text.split("/");
  const value = address.split(".").reduce((sum, each) => sum * 256 + Number(each), 0);
  const size = 2 ** (32 - Number(bits));
  const first = value - (value % size);
  return `${[24, 16, 8, 0].map((shift) => Math.floor(first / 2 ** shift) % 256).join(".")}/${bits}`;
}

/** What an entry of `allow` or `deny` means; undefined when nothing. */
export function targetOf(entry: string): NetTarget | undefined {
  const [, host = "", port] = /^([^:]+)(?::([^:]+))?$/.exec(entry) ?? [];
  const ports = portsOf(port);
  if (ports === undefined || host.length > 253) return undefined;
  if (host === "host")
    return port !== undefined && ports.low === ports.high ? { kind: "host", port: ports.low } : undefined;
  if (networkPattern.test(host)) return { kind: "network", cidr: cidrOf(host), ...ports };
  // What looks like an address and is none is a mistake, not a name.
  if (/^[\d./]+$/.test(host) || !namePattern.test(host.toLowerCase())) return undefined;
  return { kind: "name", pattern: host.toLowerCase(), ...ports };
}

/** Networks that are not the internet, with the id that people are shown. */
const notPublic: readonly (readonly [cidr: string, id: string])[] = [
  ["10.0.0.0/8", "private"],
  ["172.16.0.0/12", "private"],
  ["192.168.0.0/16", "private"],
  ["100.64.0.0/10", "carrier-nat"],
  ["169.254.0.0/16", "link-local"],
  ["168.63.129.16/32", "metadata"],
  ["192.0.0.0/24", "reserved"],
  ["198.18.0.0/15", "reserved"],
];
/** What not even `all` opens: the host's own link, and what clouds tell a machine about itself. */
const neverOpen: readonly (readonly [cidr: string, id: string])[] = [
  ["169.254.0.0/16", "link-local"],
  ["100.100.100.200/32", "metadata"],
  ["168.63.129.16/32", "metadata"],
  ["192.0.0.192/32", "metadata"],
];

const denials = (list: readonly (readonly [string, string])[]): string[] =>
  list.map(([cidr, id]) => `rule deny any ${cidr} 0-65535 ${id}`);

function lineOf(action: "allow" | "deny", entry: string): string[] {
  const target = targetOf(entry);
  if (target === undefined) return [];
  const id = `${action}:${entry.toLowerCase()}`.slice(0, 63);
  switch (target.kind) {
    case "host":
      return action === "allow" ? [`host tcp ${target.port} ${id}`] : [];
    case "network":
      return [`rule ${action} any ${target.cidr} ${target.low}-${target.high} ${id}`];
    case "name":
      return [`name ${action} any ${target.pattern} ${target.low}-${target.high} ${id}`];
    default:
      return target satisfies never;
  }
}

const lines = (
  action: "allow" | "deny",
  entries: readonly string[],
  kinds: readonly NetTarget["kind"][],
): string[] =>
  entries
    .filter((entry) => kinds.includes(targetOf(entry)?.kind as NetTarget["kind"]))
    .flatMap((entry) => lineOf(action, entry));

/**
 * Rules of the policy in the order in which they decide. What an address is denied by stands before what a name opens,
 * so that no name that is answered with an address of the LAN leads there; what a user opens by address, before both.
 */
export function netRules({ mode, allow, deny }: NetPolicy): string[] {
  const open = mode === "public" || mode === "all";
  return [
    `default ${open ? "allow" : "deny"} ${mode}`,
    `names ${mode === "allow" ? "listed" : "open"}`,
    `own ${mode === "all" ? "allow" : "deny"}`,
    ...lines("deny", deny, ["network", "name"]),
    ...lines("allow", allow, ["host", "network"]),
    ...denials(mode === "all" ? neverOpen : notPublic),
    ...lines("allow", allow, ["name"]),
  ];
}

/** 64-bit FNV-1a, which guards nothing: every command would wait for node:crypto. */
function hashOf(text: string): string {
  let hash = 0xcbf29ce484222325n;
  for (let at = 0; at < text.length; at++)
    hash = BigInt.asUintN(64, (hash ^ BigInt(text.charCodeAt(at))) * 0x100000001b3n);
  return hash.toString(16).padStart(16, "0");
}

/** Tells policies apart: the same text for what means the same. */
export const netKey = (policy: NetPolicy): string => hashOf(netRules(policy).join("\n"));
