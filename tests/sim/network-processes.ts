/** Network processes of the simulated host, and one daemon's hands on them: each change is a boundary of its own. */
import type { NetworkDriver } from "../../src/effects/net/network.js";
import { BangerError } from "../../src/lib/errors.js";
import type { Effect, Forward, ObservedVm, Seen, VmId } from "../../src/model/model.js";
import { netKey } from "../../src/model/net-policy.js";
import type { Hands } from "./disks.js";
import type { SimHost } from "./host.js";

export interface SimNetworkProcess {
  /** The key of what it was given; null: nothing passes. */
  policy: string | null;
  /** Which of the host's it was given. */
  resolvers: number;
  forwards: Forward[];
  /** It answers nobody any more. */
  hung: boolean;
}

/** A network process starts, with no policy; it may crash or hang later. */
function spawnNetwork(host: SimHost, id: VmId): void {
  const network: SimNetworkProcess = { policy: null, resolvers: host.resolvers, forwards: [], hung: false };
  host.vm(id).network = network;
  if (!host.faulty(0.15)) return;
  const hangs = host.chance.chance(0.3);
  host.time.after(host.chance.between(0, 20_000), () => {
    if (host.vm(id).network !== network) return;
    if (hangs) network.hung = true;
    else endNetwork(host, id);
    host.tell(id);
  });
}

export function endNetwork(host: SimHost, id: VmId): void {
  if (host.vm(id).network === null) return;
  host.vm(id).network = null;
  host.tell(id);
}

export function simNetworks({ host, change, pause }: Hands): NetworkDriver {
  const running = (id: string): SimNetworkProcess => {
    const { network } = host.vm(id);
    if (network !== null && !network.hung) return network;
    throw new BangerError("network_silent", "the network process does not answer", { retry: "later" });
  };
  return {
    async ensure(id) {
      if (host.vm(id).network?.hung) change(() => endNetwork(host, id));
      await pause(1, 20);
      change(() => {
        if (!host.vm(id).runtime) throw new BangerError("host_failed", "no directory", { retry: "later" });
        if (host.vm(id).network === null) spawnNetwork(host, id);
      });
    },
    async ensureNone(id) {
      await pause(1, 20);
      change(() => endNetwork(host, id));
    },
    async ensurePolicy(id, _address, net) {
      await pause(1, 5);
      change(() => Object.assign(running(id), { policy: netKey(net), resolvers: host.resolvers }));
    },
    async ensureNoPolicy(id) {
      await pause(1, 5);
      change(() => {
        const { network } = host.vm(id);
        if (network !== null) Object.assign(running(id), { policy: null });
      });
    },
  };
}

type HostSide = "ensureNetwork" | "ensureNoNetwork" | "ensurePolicy" | "ensureNoPolicy";

/** What of a guest's network is on the host's side, in either mode. */
export function ensureNetwork(
  driver: NetworkDriver,
  effect: Extract<Effect, { kind: HostSide }>,
  signal: AbortSignal,
): Promise<void> {
  const { kind, vmId } = effect;
  if (kind === "ensureNoNetwork") return driver.ensureNone(vmId, signal);
  if (kind === "ensureNoPolicy") return driver.ensureNoPolicy(vmId, signal);
  if (kind === "ensureNetwork") return driver.ensure(vmId, effect.address, signal);
  return driver.ensurePolicy(vmId, effect.address, effect.net, signal);
}

/** What a look shows of them. */
export function seenNetwork(
  host: SimHost,
  id: VmId,
  see: <T extends object>(there: T | false) => Seen<T>,
): Pick<ObservedVm, "network" | "policy"> {
  const { network } = host.vm(id);
  const absent = { is: "absent" } as const;
  const hung = { is: "unknown", cause: "the network process does not answer" } as const;
  if (network === null) return { network: see<{ whole: boolean }>(false), policy: absent };
  const { policy, resolvers } = network;
  const given = policy !== null && { key: policy, fresh: resolvers === host.resolvers };
  return { network: see({ whole: !network.hung }), policy: network.hung ? hung : see(given) };
}
