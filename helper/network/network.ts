/** The guests' network as the methods need it, from the installation's metadata. */
import { bridgeMac } from "../../src/home/handles.js";
import { ipv4Text } from "../../src/home/ipv4.js";
import { gateBridge, networkOf } from "../gates.js";
import type { Metadata } from "../metadata.js";

export interface Network {
  bridge: string;
  /** The bridge's own Ethernet address. */
  mac: string;
  /** The bridge's own IPv4 address. */
  address: string;
  prefixLength: number;
  /** `172.16.0.0/24` */
  cidr: string;
}

/** @throws Refusal `bridge-name`, `network` */
export function guestNetwork({ network }: Metadata): Network {
  gateBridge(network.bridge);
  const { base, prefixLength } = networkOf(network);
  const { bridge, address } = network;
  return {
    bridge,
    address,
    prefixLength,
    mac: bridgeMac(address),
    cidr: `${ipv4Text(base)}/${prefixLength}`,
  };
}
