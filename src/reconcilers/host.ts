/** Pure: what VMs of system mode share on their host, wanted as long as a daemon of system mode runs. */
import { type HostNetwork, namesFit, poolFits, type SeenNetwork } from "../model/host-network.js";
import type { Effect } from "../model/model.js";

/** The bridge goes first: pool and resolver's routing are made on it, and go with it. */
export function reconcileHost({ phase, wanted }: HostNetwork, seen: SeenNetwork): Effect[] {
  if (wanted === null) return [];
  // Where the host does not tell, it tries until it was all there once, and so learns why not.
  const tries = phase !== "ready";
  if (seen.bridge.is !== "present")
    return seen.bridge.is === "absent" || tries ? [{ kind: "ensureBridge" }] : [];
  const effects: Effect[] = [];
  const lacks = (fits: boolean | "unknown"): boolean => (fits === "unknown" ? tries : !fits);
  if (lacks(poolFits(wanted, seen))) effects.push({ kind: "ensureTapPool", size: wanted.tapPoolSize });
  if (wanted.namesPort !== null && lacks(namesFit(wanted, seen)))
    effects.push({ kind: "ensureResolver", port: wanted.namesPort });
  return effects;
}
