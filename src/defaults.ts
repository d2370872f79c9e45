/** The defaults of new VMs on this host. */
import { availableParallelism, totalmem } from "node:os";
import { type Config, resolveDefaults } from "./config.js";
import type { DefaultsView } from "./contract.js";

/** What a VM gets that is created without a word about it, with where each value comes from. */
export function defaultsOf(config: Config): DefaultsView {
  const host = { cpus: availableParallelism(), memoryMiB: Math.floor(totalmem() / 2 ** 20) };
  return { image: config.defaultImage, ...resolveDefaults(config, host) };
}
