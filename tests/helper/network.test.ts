/** The helper's methods for the network, each part in a network namespace of its own. */
import { test } from "node:test";
import { noNamespaces, runInNamespace } from "./in-namespace.js";

const parts = {
  bridge: "the bridge is made, mended and taken away, and never another's",
  tap: "taps are made, taken from the pool and taken away, and never another's",
  frames: "a guest speaks as itself alone",
  nat: "a guest gets out by NAT and not without, and never into the host",
  iptables: "without nftables, iptables guards what it can see",
};

for (const [name, title] of Object.entries(parts)) {
  test(title, { skip: noNamespaces }, () =>
    runInNamespace(new URL(`./${name}-child.js`, import.meta.url).pathname, [], 300_000),
  );
}
