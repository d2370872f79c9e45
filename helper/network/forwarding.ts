/**
 * The kernel's switch for forwarding. What it was before banger turned it on is written into the bridge's alias: only
 * root writes there, and it is gone with the bridge and at a reboot, as the switch's own value is.
 */
import { readFile, writeFile } from "node:fs/promises";
import type { HelperContext } from "../method.js";
import type { Link } from "./links.js";
import type { Network } from "./network.js";

const switchFile = "/proc/sys/net/ipv4/ip_forward";
const wasOff = "banger: ip_forward was 0";

export const isForwarding = async (): Promise<boolean> => (await readFile(switchFile, "utf8")).trim() === "1";

/**
 * From the bridge alone, which the kernel's switch for all leaves to us: what guests send elsewhere then comes to our
 * rules, which refuse it at once, where else it would vanish and leave them waiting.
 */
export const forwardFromBridge = ({ bridge }: Network): Promise<void> =>
  writeFile(`/proc/sys/net/ipv4/conf/${bridge}/forwarding`, "1");

/** `bridge` is ours. */
export async function ensureForwarding({ run }: HelperContext, { bridge }: Network): Promise<void> {
  if (await isForwarding()) return;
  await run("ip", ["link", "set", "dev", bridge, "alias", wasOff]);
  await writeFile(switchFile, "1");
}

/** As it was before; the note on the bridge stays until the bridge goes. */
export async function restoreForwarding(bridge: Link): Promise<void> {
  if (bridge.ifalias === wasOff) await writeFile(switchFile, "0");
}
