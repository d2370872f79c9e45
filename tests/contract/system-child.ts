/** The world contract in system mode, with the helper's own server and methods, and QEMU on its taps. */
import { once } from "node:events";
import { chmodSync, mkdtempSync } from "node:fs";
import { methodTable } from "../../helper/methods/index.js";
import { createHelper } from "../../helper/server.js";
import { systemParts } from "../../src/daemon/mode-system.js";
import { helperClient } from "../../src/effects/helper/client.js";
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
  };
  return { metadata, path, bench, stop: () => helper.stop() };
}

async function makeSystemBench(): Promise<Bench> {
  // The namespace's own, which the helper trusts when root alone can write there.
  chmodSync("/run", 0o755);
  const top = mkdtempSync("/run/banger-test-");
  const { metadata, path, bench: helper, stop } = await serveHelper(top);
  const { address, prefixLength } = metadata.network;
  const addresses = bridgeRange(address, prefixLength);
  const parts = (home: Home) =>
    systemParts({
      ...{ home, addresses, helper: helperClient(path), clock: systemClock, vmm: "qemu", tapPoolSize: 0 },
      // Root devices have tests of their own, for they are the whole host's.
      deviceMapper: false,
      firecracker: {
        prepare: () => Promise.reject(new Error("no Firecracker is to be started")),
        network: { prefixLength, gateway: address, dns: "192.0.2.1" },
        rateLimits: { diskMiB: null, diskOperations: null, networkMiB: null },
      },
      warn: (message, details) => console.error(message, details),
    });
  const bench = await makeBench(
    {
      addresses,
      parts,
      root: ({ rootFile }) => `format=raw,file=${rootFile}`,
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
