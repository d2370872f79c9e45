/** The helper's methods for the network, each part in a network namespace of its own. */
import { testInNamespace } from "./in-namespace.js";

testInNamespace("the bridge is made, mended and taken away, and never another's", "bridge");
testInNamespace("taps are made, taken from the pool and taken away, and never another's", "tap");
testInNamespace("a guest speaks as itself alone", "frames");
testInNamespace("a guest gets out by NAT and not without, and never into the host", "nat");
testInNamespace("without nftables, iptables guards what it can see", "iptables");
