/** What all VMs of system mode share on the simulated host. */

/** `rules`: the firewall's tables for the bridge. Pool and routing are made on it, and go with it. */
export interface SimNetwork {
  bridge: boolean;
  rules: boolean;
  pool: number;
  namesPort: number | null;
}

export const noNetwork = (): SimNetwork => ({ bridge: false, rules: false, pool: 0, namesPort: null });

interface Shared {
  network: SimNetwork;
  vms: ReadonlyMap<string, { guard: boolean; nat: boolean }>;
}

/** As a reload of the host's own rules does it. */
export function flushFirewall({ network, vms }: Shared): void {
  network.rules = false;
  for (const vm of vms.values()) Object.assign(vm, { guard: false, nat: false });
}

/** Taps hang on nothing then, and are no whole ones any more. */
export function deleteBridge(host: Shared): void {
  flushFirewall(host);
  Object.assign(host.network, { bridge: false, namesPort: null });
}

/** As a look takes it for present. */
export const bridgeIsWhole = ({ network: { bridge, rules } }: { network: SimNetwork }): boolean =>
  bridge && rules;
