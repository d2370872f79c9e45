/** The world contract in system mode, with the helper's own server and methods, and QEMU on its taps. */
import { once } from "node:events";
import { chmodSync, mkdtempSync } from "node:fs";
import { methodTable } from "../../helper/methods/index.js";
import { createHelper } from "../../helper/server.js";
import { systemParts } from "../../src/daemon/mode-system.js";
import type { HelperCalls } from "../../src/effects/helper/calls.js";
import { helperClient } from "../../src/effects/helper/client.js";
import { firecrackerVmm } from "../../src/effects/vmm/firecracker/firecracker.js";
import type { Vmm } from "../../src/effects/vmm/vmm.js";
import { bridgeRange } from "../../src/home/addresses.js";
import type { Home } from "../../src/home/handles.js";
import { systemClock } from "../../src/lib/clock.js";
import { sh } from "../helper/host.js";
import { metadataOf } from "../helper/metadata.js";
import type { Bench, HelperBench } from "./actor.js";
import { makeBench } from "./local-bench.js";
import { worldContract } from "./world.js";

/** The helper, at its socket, on the installation below `top`. */
async function serveHelper(top: string) {
  // A QEMU without capabilities gets its owner's taps alone.
  const metadata = metadataOf(top, process.getuid?.() ?? 0);
  const path = `${top}/helper.sock`;
  const start = async () => {
    const helper = createHelper({ table: methodTable, metadata, clock: systemClock, audit: () => {} });
    helper.listener.listen(path);
    await once(helper.listener, "listening");
    return helper;
  };
  let helper = await start();
  const bench: HelperBench = {
    async leave() {
      await helper.stop();
      return async () => {
        helper = await start();
      };
    },
    flushFirewall: () => void sh("nft flush ruleset"),
    deleteBridge: () => void sh(`ip link delete dev ${metadata.network.bridge} 2>/dev/null || true`),
    show: () =>
      ["ip -details link", "ip address", "nft list ruleset", "sysctl net.ipv4"].map((line) => sh(line)),
  };
  return { metadata, path, bench, stop: () => helper.stop() };
}

/** None is started here; what one would leave is cleaned up all the same. */
const idleFirecracker = (home: Home, helper: HelperCalls): Vmm =>
  firecrackerVmm({
    ...{ home, clock: systemClock },
    prepare: () => Promise.reject(new Error("no Firecracker is to be started")),
    config: { rateLimits: { diskMiB: null, diskOperations: null, networkMiB: null } },
    system: { helper, rootDisk: "file", network: { prefixLength: 24, gateway: "", dns: "" } },
  });

async function makeSystemBench(): Promise<Bench> {
  // The namespace's own, which the helper trusts when root alone can write there.
  chmodSync("/run", 0o755);
  const top = mkdtempSync("/run/banger-test-");
  const { metadata, path, bench: helper, stop } = await serveHelper(top);
  const { address, prefixLength } = metadata.network;
  const addresses = bridgeRange(address, prefixLength);
  let client = helperClient(path);
  const parts = () => {
    // Each daemon has its own.
    client = helperClient(path);
    return systemParts({
      ...{ addresses, helper: client, clock: systemClock },
      // Root devices have tests of their own, for they are the whole host's.
      deviceMapper: false,
    });
  };
  const bench = await makeBench(
    {
      addresses,
      parts,
      root: ({ rootFile }) => `format=raw,file=${rootFile}`,
      vmms: (home, qemu) => ({ vmms: [idleFirecracker(home, client), qemu], starts: qemu }),
      card: ({ tap }) => `tap,id=net0,ifname=${tap},script=no,downscript=no`,
      helper,
    },
    metadata.home,
  );
  const { close } = bench;
  return Object.assign(bench, {
    async close() {
      await close();
      await stop();
    },
  });
}

worldContract("this host in system mode", makeSystemBench, "system");
