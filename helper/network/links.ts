/** The host's interfaces as `ip -j` tells them, and which of them are banger's. */
import { readFileSync } from "node:fs";
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { isPoolTap, parseTap, vmHandles } from "../../src/home/handles.js";
import type { VmId } from "../../src/model/model.js";
import type { HelperContext } from "../method.js";
import { HostFailure, Refusal } from "../refusal.js";
import type { Network } from "./network.js";

const Link = Type.Object({
  ifname: Type.String(),
  flags: Type.Array(Type.String()),
  /** The bridge that it is a port of. */
  master: Type.Optional(Type.String()),
  /** Its Ethernet address. */
  address: Type.Optional(Type.String()),
  ifalias: Type.Optional(Type.String()),
  linkinfo: Type.Optional(
    Type.Object({
      info_kind: Type.Optional(Type.String()),
      info_data: Type.Optional(
        Type.Object({
          type: Type.Optional(Type.String()),
          multi_queue: Type.Optional(Type.Boolean()),
          persist: Type.Optional(Type.Boolean()),
        }),
      ),
      info_slave_data: Type.Optional(
        Type.Object({ learning: Type.Optional(Type.Boolean()), flood: Type.Optional(Type.Boolean()) }),
      ),
    }),
  ),
  addr_info: Type.Array(
    Type.Object({
      family: Type.String(),
      local: Type.Optional(Type.String()),
      prefixlen: Type.Optional(Type.Integer()),
    }),
  ),
});
export type Link = Static<typeof Link>;
export type Links = ReadonlyMap<string, Link>;

/** What a tool printed as JSON. @throws HostFailure `tool_garbled` */
export function parseJson<T extends TSchema>(tool: string, schema: T, text: string): Static<T> {
  try {
    const value: unknown = JSON.parse(text);
    if (Value.Check(schema, value)) return value;
  } catch {
    // Said below.
  }
  throw new HostFailure("tool_garbled", `${tool} printed unexpected JSON`, "never");
}

/** Every interface with its addresses, by name. @throws HostFailure */
export async function readLinks({ run }: HelperContext): Promise<Links> {
  const { stdout } = await run("ip", ["-json", "-details", "address", "show"]);
  const links = parseJson("ip", Type.Array(Link), stdout);
  return new Map(links.map((link) => [link.ifname, link]));
}

export const isUp = ({ flags }: Link): boolean => flags.includes("UP");

export const hasAddress = ({ addr_info }: Link, { address, prefixLength }: Network): boolean =>
  addr_info.some(
    ({ family, local, prefixlen }) => family === "inet" && local === address && prefixlen === prefixLength,
  );

/** The bridge, if it is there. @throws Refusal where something else has its name */
export function ownBridge(links: Links, { bridge, mac }: Network): Link | undefined {
  const link = links.get(bridge);
  if (link === undefined || (link.linkinfo?.info_kind === "bridge" && link.address === mac)) return link;
  throw new Refusal(
    "own-bridge",
    `${bridge} exists, but banger did not create it`,
    `ip -details link show dev ${bridge}`,
  );
}

/** @throws HostFailure where there is no bridge; Refusal where something else has its name */
export function requireBridge(links: Links, network: Network): Link {
  const link = ownBridge(links, network);
  if (link !== undefined) return link;
  throw new HostFailure("bridge_missing", `the bridge ${network.bridge} does not exist`);
}

/** A file of the interface's in sysfs as a number; `ip` tells owners by name, and only if they have one. */
function attribute(tap: string, name: "owner" | "group"): number {
  try {
    return Number(readFileSync(`/sys/class/net/${tap}/${name}`, "utf8"));
  } catch {
    return Number.NaN;
  }
}

/** A lasting tap with one queue for the owner of this installation, on our bridge or on none. */
function isOwnTap(link: Link, { metadata: { owner, network } }: HelperContext): boolean {
  const { info_kind: kind, info_data: data } = link.linkinfo ?? {};
  return (
    kind === "tun" &&
    data?.type === "tap" &&
    data.persist === true &&
    data.multi_queue !== true &&
    (link.master === undefined || link.master === network.bridge) &&
    attribute(link.ifname, "owner") === owner.uid &&
    attribute(link.ifname, "group") === owner.gid
  );
}

/** The VM's tap, if it is there. @throws Refusal where something else has its name */
export function ownTap(links: Links, context: HelperContext, vmId: VmId): Link | undefined {
  const name = vmHandles(context.metadata.home, vmId).tap;
  const link = links.get(name);
  if (link === undefined || isOwnTap(link, context)) return link;
  throw new Refusal(
    "own-tap",
    `${name} exists, but banger did not create it`,
    `ip -details link show dev ${name}`,
  );
}

/** Names of our taps that wait for a VM, and the ids of the VMs that have one. */
export function ownTaps(links: Links, context: HelperContext): { pool: string[]; vms: VmId[] } {
  const names = [...links.values()].filter((link) => isOwnTap(link, context)).map(({ ifname }) => ifname);
  return { pool: names.filter(isPoolTap), vms: names.map(parseTap).filter((id) => id !== undefined) };
}
