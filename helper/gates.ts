/** The bounds of SPEC 6 on what is named in metadata and calls: interfaces, networks, addresses. */
import { type Ipv4Network, ipv4Pattern, isGuestNetwork, isHostOf, parseNetwork } from "../src/home/ipv4.js";
import type { Metadata } from "./metadata.js";
import { Refusal } from "./refusal.js";

type Network = Metadata["network"];

const ipv4 = new RegExp(`^${ipv4Pattern}$`);
/** Length of an interface's name without its NUL: IFNAMSIZ, netdevice(7). */
const longestInterface = 15;
const ourBridge = /^br-fc(-[a-zA-Z0-9-]+)?$/;

/** @throws Refusal `bridge-name` for any interface that is not banger's own bridge */
export function gateBridge(name: string): void {
  if (ourBridge.test(name) && name.length <= longestInterface) return;
  throw new Refusal("bridge-name", `the bridge must be br-fc or br-fc-*, not ${JSON.stringify(name)}`);
}

/**
 * The network that an address with its prefix length lies in.
 * @throws Refusal `network` for one without room for guests or where they cannot live (loopback, multicast, …)
 */
export function networkOf({ address, prefixLength }: Network): Ipv4Network {
  if (ipv4.test(address) && Number.isInteger(prefixLength) && prefixLength >= 8 && prefixLength <= 30) {
    const network = parseNetwork(`${lowest(address, prefixLength)}/${prefixLength}`);
    if (isGuestNetwork(network) && isHostOf(network, address)) return network;
  }
  throw new Refusal(
    "network",
    `${address}/${prefixLength} is not a usable host address in an IPv4 network of /8 to /30`,
  );
}

/** @throws Refusal `guest-address` unless it is an address of the installed network that a guest can have */
export function gateGuestAddress(network: Network, address: string): void {
  if (ipv4.test(address) && isHostOf(networkOf(network), address) && address !== network.address) return;
  throw new Refusal(
    "guest-address",
    `${JSON.stringify(address)} is not a guest address in the network ${network.address}/${network.prefixLength}`,
  );
}

/** The address with all bits of the host part cleared. */
function lowest(address: string, prefixLength: number): string {
  const octets = address.split(".").map(Number);
  return octets
    .map((octet, index) => octet & (0xff00 >> Math.min(8, Math.max(0, prefixLength - 8 * index))) & 0xff)
    .join(".");
}
