/** Pure: the guests' network, from the installation's metadata, and which addresses in it a guest may have. */
import { bridgeMac } from "../../src/handles.js";
import type { Metadata } from "../metadata.js";
import { Refusal } from "../refusal.js";

export interface Network {
  bridge: string;
  /** The bridge's own Ethernet address. */
  mac: string;
  /** The bridge's own IPv4 address. */
  address: string;
  prefixLength: number;
  /** `172.16.0.0/24` */
  cidr: string;
  first: number;
  last: number;
}

/** An IPv4 address as a number, or undefined; octets have no leading zero, which some programs read as octal. */
export function parseAddress(text: string): number | undefined {
  const octets = text.split(".");
  if (octets.length !== 4 || !octets.every((each) => /^(0|[1-9]\d{0,2})$/.test(each) && Number(each) <= 255))
    return undefined;
  return octets.reduce((number, octet) => number * 256 + Number(octet), 0);
}

const format = (number: number): string =>
  [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join(".");

/** First and last address of the network that this address lies in. */
export function range(address: number, prefixLength: number): { first: number; last: number } {
  const size = 2 ** (32 - prefixLength);
  const first = Math.floor(address / size) * size;
  return { first, last: first + size - 1 };
}

/** @throws Refusal if the metadata do not describe a network */
export function networkOf({ network: { bridge, address, prefixLength } }: Metadata): Network {
  const own = parseAddress(address);
  if (!/^br-fc(-[a-z0-9-]{1,9})?$/.test(bridge))
    throw new Refusal("own-bridge", `${bridge} is no name of a bridge of banger`);
  if (own === undefined || !Number.isInteger(prefixLength) || prefixLength < 8 || prefixLength > 30)
    throw new Refusal("address-in-network", `${address}/${prefixLength} is no network for guests`);
  const { first, last } = range(own, prefixLength);
  if (own === first || own === last)
    throw new Refusal("address-in-network", `${address} cannot be the bridge's in a /${prefixLength}`);
  return {
    ...{ bridge, address, prefixLength, first, last },
    mac: bridgeMac(address),
    cidr: `${format(first)}/${prefixLength}`,
  };
}

/** @throws Refusal unless a guest may have this address */
export function requireGuestAddress(network: Network, address: string): void {
  const number = parseAddress(address);
  const inside = number !== undefined && number > network.first && number < network.last;
  if (!inside || address === network.address) {
    throw new Refusal(
      "address-in-network",
      `${address} is not an address that a guest in ${network.cidr} may have`,
      "banger doctor",
    );
  }
}
