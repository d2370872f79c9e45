/** Pure: IPv4 addresses and networks as text and as numbers. */

const octet = "(?:\\d|[1-9]\\d|1\\d\\d|2[0-4]\\d|25[0-5])";
/** Dotted form without leading zeroes, to be anchored by whoever uses it. */
export const ipv4Pattern = `${octet}(?:\\.${octet}){3}`;

export interface Ipv4Network {
  /** Its lowest address, as a number. */
  base: number;
  prefixLength: number;
  /** The first and the last address that a host can have in it. */
  first: string;
  last: string;
}

/** An address as the number that its four octets make. */
export const ipv4Number = (text: string): number =>
  text.split(".").reduce((number, part) => number * 256 + Number(part), 0);

export const ipv4Text = (number: number): string =>
  [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join(".");

const sizeOf = (prefixLength: number): number => 2 ** (32 - prefixLength);

/**
 * `text` has the form `address/length`.
 * @throws RangeError where the address is not the network's lowest
 */
export function parseNetwork(text: string): Ipv4Network {
  const [address = "", length = ""] = text.split("/");
  const prefixLength = Number(length);
  const base = ipv4Number(address);
  if (prefixLength > 32 || base % sizeOf(prefixLength) !== 0)
    throw new RangeError(`${text} is not a network`);
  return networkOf(address, prefixLength);
}

/** The network of that size in which the address lies. */
export function networkOf(address: string, prefixLength: number): Ipv4Network {
  const size = sizeOf(prefixLength);
  const number = ipv4Number(address);
  const base = number - (number % size);
  return { base, prefixLength, first: ipv4Text(base + 1), last: ipv4Text(base + size - 2) };
}

/** How many addresses a host can have in it. */
export const hostsIn = ({ prefixLength }: Ipv4Network): number => Math.max(0, sizeOf(prefixLength) - 2);

/** Whether a host of the network can have this address: neither the network's own nor that of its broadcasts. */
export function isHostOf({ base, prefixLength }: Ipv4Network, address: string): boolean {
  const offset = ipv4Number(address) - base;
  return offset > 0 && offset < sizeOf(prefixLength) - 1;
}

/** "This network", loopback, link-local with the clouds' metadata service, multicast and reserved (RFC 6890). */
const neverGuests = ["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3"].map(parseNetwork);

/** Whether guests can live there beside the bridge. */
export function isGuestNetwork({ base, prefixLength }: Ipv4Network): boolean {
  const end = base + sizeOf(prefixLength);
  const meets = (other: Ipv4Network) => base < other.base + sizeOf(other.prefixLength) && other.base < end;
  return prefixLength >= 8 && prefixLength <= 30 && !neverGuests.some(meets);
}
