/** The rules in iptables. */
import type { HelperContext } from "../method.js";
import {
  iptablesNothing,
  iptablesState,
  iptablesTables,
  iptablesText,
  type Listings,
} from "./iptables-text.js";
import type { Firewall } from "./rules.js";

/** Seconds that it waits for another program that changes the rules. */
export const waitForLock = ["-w", "5"] as const;

async function list({ run }: HelperContext): Promise<Listings> {
  const listings: Listings = { filter: "", nat: "", raw: "" };
  for (const table of iptablesTables) {
    listings[table] = (await run("iptables", [...waitForLock, "-t", table, "-S"])).stdout;
  }
  return listings;
}

async function restore({ run }: HelperContext, input: string): Promise<void> {
  if (input !== "") await run("iptables-restore", [...waitForLock, "--noflush"], { input });
}

export const iptables: Firewall = {
  read: async (context, network) => iptablesState(context.metadata.home, network, await list(context)),
  write: async (context, network, rules) =>
    restore(context, iptablesText(context.metadata.home, network, rules, await list(context))),
  remove: async (context) => restore(context, iptablesNothing(await list(context))),
};
