/** The host's resolver, where it is systemd-resolved: names in `.vm` are asked of the daemon. */
import type { Result } from "../contract.js";
import type { HelperContext } from "../method.js";
import { HostFailure } from "../refusal.js";
import type { Network } from "./network.js";

/** Whether there is a resolver that can be told. `port` is of 127.0.0.1. @throws HostFailure */
export async function routeNames(context: HelperContext, network: Network, port: number): Promise<boolean> {
  const steps = [
    // "~" routes the names of this domain there without searching in it.
    ["domain", network.bridge, "~vm"],
    ["default-route", network.bridge, "no"],
    // The last, so that it stands for all of them in a look.
    ["dns", network.bridge, `127.0.0.1:${port}`],
  ];
  for (const step of steps) if (!(await tell(context, step))) return false;
  return true;
}

/**
 * The port of 127.0.0.1 at which names are asked for, null where they are asked nowhere; null for the whole where there
 * is no resolver that can be told, or no bridge that it could know. @throws HostFailure
 */
export async function namesAskedAt(
  context: HelperContext,
  network: Network,
): Promise<Result<"look">["resolver"]> {
  const printed = await ask(context, ["dns", network.bridge]);
  if (printed === null) return null;
  // `Link 3 (br-fc): 127.0.0.1:42069`
  const [, port] = /\): 127\.0\.0\.1:(\d+)\s*$/m.exec(printed) ?? [];
  return { port: port === undefined ? null : Number(port) };
}

/** The bridge's own settings in the resolver are gone. */
export async function forgetNames(context: HelperContext, network: Network): Promise<void> {
  await tell(context, ["revert", network.bridge]);
}

const tell = async (context: HelperContext, argv: readonly string[]): Promise<boolean> =>
  (await ask(context, argv)) !== null;

/** What it prints; null without resolvectl, or without its service. */
async function ask({ run }: HelperContext, argv: readonly string[]): Promise<string | null> {
  try {
    return (await run("resolvectl", argv)).stdout;
  } catch (cause) {
    if (cause instanceof HostFailure && ["tool_missing", "tool_failed"].includes(cause.code)) return null;
    throw cause;
  }
}
