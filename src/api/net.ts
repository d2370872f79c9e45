/** What clients say of a guest's network, checked where the API is entered. */
import { BangerError } from "../lib/errors.js";
import type { Capabilities } from "../model/model.js";
import { type NetPolicy, targetOf } from "../model/net-policy.js";

/** @throws BangerError `net_invalid`, `net_unsupported` */
export function checkNet(change: Partial<NetPolicy> | undefined, { netPolicies }: Capabilities): void {
  if (change === undefined) return;
  const { mode, allow = [], deny = [] } = change;
  const wrong =
    allow.find((entry) => targetOf(entry) === undefined) ??
    deny.find((entry) => (targetOf(entry)?.kind ?? "host") === "host");
  if (wrong !== undefined)
    throw new BangerError("net_invalid", `"${wrong}" is not HOST[:PORT]`, {
      hint: "use a name, *.name, IPv4 address or network (optionally with :PORT or :LOW-HIGH), or host:PORT",
    });
  if (!netPolicies && (mode === "allow" || allow.length + deny.length > 0))
    throw new BangerError("net_unsupported", "system mode has no network policies by name or address yet", {
      hint: "use --net public or --net none, or user mode: BANGER_MODE=user",
    });
}
