/** The host's resolver, where it is systemd-resolved: names in `.vm` are asked of the daemon. */
import type { HelperContext } from "../method.js";
import { HostFailure } from "../refusal.js";
import type { Network } from "./network.js";

/** Whether there is a resolver that can be told. `port` is of 127.0.0.1. @throws HostFailure */
export async function routeNames(context: HelperContext, network: Network, port: number): Promise<boolean> {
  const steps = [
    ["dns", network.bridge, `127.0.0.1:${port}`],
    // "~" routes the names of this domain there without searching in it.
    ["domain", network.bridge, "~vm"],
    ["default-route", network.bridge, "no"],
  ];
  for (const step of steps) if (!(await tell(context, step))) return false;
  return true;
}

/** The bridge's own settings in the resolver are gone. */
export async function forgetNames(context: HelperContext, network: Network): Promise<void> {
  await tell(context, ["revert", network.bridge]);
}

/** Without resolvectl, or without its service, nothing is routed. */
async function tell({ run }: HelperContext, argv: readonly string[]): Promise<boolean> {
  try {
    await run("resolvectl", argv);
    return true;
  } catch (cause) {
    if (cause instanceof HostFailure && ["tool_missing", "tool_failed"].includes(cause.code)) return false;
    throw cause;
  }
}
