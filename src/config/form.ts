/** What a configuration says once it is read: every key with its value or its default. */

import type { Proxies } from "../host/proxies.js";
import type { Accelerator } from "../model/model.js";
import type { RegistryOption } from "../oci/registry.js";
import type { GuestConfig } from "./guest.js";
import type { FileSync, ListenAddress } from "./values.js";

export interface Config {
  logLevel: "trace" | "debug" | "info" | "warn" | "error";
  vmm: "auto" | "qemu" | "firecracker";
  accelerator: "auto" | Accelerator;
  qemuBin: string;
  firecrackerBin: string;
  jailerBin: string;
  defaultImage: string;
  /** Null: what the host's apt configuration says. */
  mirror: string | null;
  /** For images, where the client's shell has none. */
  proxies: Proxies;
  resyncIntervalMs: number;
  bootTimeoutMs: number;
  stopTimeoutMs: number;
  retentionMs: number;
  statsPollIntervalMs: number;
  /** Null: never. */
  autoStopAfterMs: number | null;
  /** Null: a key that banger makes. May begin with `~/`. */
  sshKeyPath: string | null;
  fileSync: FileSync[];
  dnsListen: ListenAddress | "off";
  registries: RegistryOption[];
  /** What system mode is installed with; while it serves, the metadata of the installation says what is. */
  network: {
    bridge: string;
    /** The bridge's own. */
    address: string;
    prefixLength: number;
    dns: string;
    tapPoolSize: number;
  };
  /** What VMs may take of this machine. */
  allowed: { memoryPercent: number; reserveMiB: number | null };
  /** Of each VM under Firecracker; null: no limit. */
  rateLimits: { diskMiB: number | null; diskOperations: number | null; networkMiB: number | null };
  vmDefaults: Record<"vcpu" | "memoryMiB" | "diskMiB" | "rootMiB", number | null>;
  guest: GuestConfig;
}
