/** Metadata of an installation that does not exist, for tests to change. */
import type { Metadata } from "../../helper/metadata.js";

/** `top` is the directory of state, data and the rest. */
export const metadataOf = (top = "/var/lib/banger", uid = 1000): Metadata => ({
  version: "0.1.0",
  owner: { uid, gid: uid, name: "ann" },
  home: {
    state: `${top}/state`,
    data: `${top}/data`,
    cache: `${top}/cache`,
    config: `${top}/config`,
    runtime: `${top}/run`,
  },
  network: { bridge: "br-fc", address: "172.16.0.1", prefixLength: 24 },
  firecracker: "/usr/bin/firecracker",
  jailer: null,
});
