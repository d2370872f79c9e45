/** Makes taps, and makes them ready for a guest. */
import { writeFile } from "node:fs/promises";
import { poolTap, vmHandles } from "../../src/home/handles.js";
import type { VmId } from "../../src/model/model.js";
import type { HelperContext } from "../method.js";
import type { Link, Links } from "./links.js";
import type { Network } from "./network.js";

/** The first name of the pool that nothing on the host has. */
export function freePoolTap(links: Links, taken: readonly string[] = []): string {
  for (let index = 0; ; index++) {
    const name = poolTap(index);
    if (!links.has(name) && !taken.includes(name)) return name;
  }
}

/** The kernel's IPv6 on an interface of ours is off: guests have none, and the host should not call for routers there. */
export async function ensureNoIpv6(name: string): Promise<void> {
  try {
    await writeFile(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`, "1");
  } catch (cause) {
    // A kernel that has no IPv6 at all.
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw cause;
  }
}

/** Lasting, and for the owner to open. Whoever opens it says himself whether frames carry a virtio header. */
export async function createTap({ run, metadata: { owner } }: HelperContext, name: string): Promise<void> {
  const whose = ["user", `${owner.uid}`, "group", `${owner.gid}`];
  await run("ip", ["tuntap", "add", "dev", name, "mode", "tap", ...whose]);
}

export const deleteLink = async ({ run }: HelperContext, name: string): Promise<void> => {
  await run("ip", ["link", "delete", "dev", name]);
};

/**
 * On the bridge, which learns no addresses from it: some frames reach the bridge's table without passing any rule
 * (LLDP's), and one with another guest's source would turn that guest's traffic here. So the bridge is told where each
 * guest is, and floods nothing to this tap that is for somebody else.
 */
export async function attachTap({ run }: HelperContext, { bridge }: Network, name: string): Promise<void> {
  await ensureNoIpv6(name);
  await run("ip", ["link", "set", "dev", name, "master", bridge]);
  await run("ip", ["link", "set", "dev", name, "type", "bridge_slave", "learning", "off", "flood", "off"]);
}

export const isAttached = ({ master, linkinfo }: Link, { bridge }: Network): boolean =>
  master === bridge &&
  linkinfo?.info_slave_data?.learning === false &&
  linkinfo.info_slave_data.flood === false;

/** The bridge finds this VM's guest behind that tap. */
export async function placeGuest(context: HelperContext, name: string, vmId: VmId): Promise<void> {
  const { mac } = vmHandles(context.metadata.home, vmId);
  await context.run("bridge", ["fdb", "replace", mac, "dev", name, "master", "static"]);
}
