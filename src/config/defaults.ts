/** What new VMs get by default: from the configuration, else from the host, else built in. */
import { availableParallelism } from "node:os";
import type { DefaultsView } from "../contract/daemon.js";
import { memoryLimit } from "../host/memory-limit.js";
import type { Config } from "./form.js";

interface Host {
  cpus: number;
  memoryMiB: number;
}

/** A default of new VMs and where it came from. */
interface Default {
  value: number;
  source: "config" | "host" | "built-in";
}

const builtIn = { vcpu: 1, memoryMiB: 512, diskMiB: 8192 } as const;
const hostShare = { cpus: 4, memory: 8 } as const;
const mostFromHost = { vcpu: 4, memoryMiB: 8192 } as const;

/** What a VM gets without being asked: each from the config, else a share of the host, else built in. */
export function resolveDefaults(config: Config, host: Host): Omit<DefaultsView, "image"> {
  const resolve = (configured: number | null, share: number, most: number, least: number): Default => {
    if (configured !== null) return { value: configured, source: "config" };
    const value = Math.min(most, Math.floor(share));
    return value >= least ? { value, source: "host" } : { value: least, source: "built-in" };
  };
  const { vcpu, memoryMiB, diskMiB, rootMiB } = config.vmDefaults;
  return {
    vcpu: resolve(vcpu, host.cpus / hostShare.cpus, mostFromHost.vcpu, builtIn.vcpu),
    memoryMiB: resolve(
      memoryMiB,
      host.memoryMiB / hostShare.memory,
      mostFromHost.memoryMiB,
      builtIn.memoryMiB,
    ),
    diskMiB: resolve(diskMiB, 0, 0, builtIn.diskMiB),
    rootMiB: { value: rootMiB, source: rootMiB === null ? "built-in" : "config" },
  };
}

/** What a VM gets that is created without a word about it, with where each value comes from. */
export function defaultsOf(config: Config): DefaultsView {
  const host = { cpus: availableParallelism(), memoryMiB: Math.floor(memoryLimit() / 2 ** 20) };
  return { image: config.defaultImage, ...resolveDefaults(config, host) };
}
