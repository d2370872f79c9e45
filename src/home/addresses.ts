/** Pure: the addresses that VMs of one home get, each by its number. */
import { hostsIn, type Ipv4Network, ipv4Number, ipv4Text, isHostOf, networkOf } from "./ipv4.js";

/** The hosts of a network, but for the one that is this host itself. */
export interface AddressRange {
  network: Ipv4Network;
  /** This host's own address in the network; null where it has none. */
  own: string | null;
}

/** User mode: a /16 below 127.0.0.0/8. `block` is its second octet, derived from the home so that two rarely meet. */
export const loopbackRange = (block: number): AddressRange => ({
  network: networkOf(`127.${block}.0.0`, 16),
  own: null,
});

/** System mode: the network of the bridge, whose own address that is. */
export const bridgeRange = (own: string, prefixLength: number): AddressRange => ({
  network: networkOf(own, prefixLength),
  own,
});

export const addressCount = ({ network, own }: AddressRange): number =>
  Math.max(0, hostsIn(network) - (own === null ? 0 : 1));

/** Address number `index`, from 1 to `addressCount`. */
export function addressAt({ network, own }: AddressRange, index: number): string {
  const number = network.base + index;
  return ipv4Text(own !== null && number >= ipv4Number(own) ? number + 1 : number);
}

export const isInRange = ({ network }: AddressRange, address: string): boolean => isHostOf(network, address);
