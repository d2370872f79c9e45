/** The world contract on the simulated host: what the simulation shows of effects is what the real host does. */
import { addressAt, loopbackRange } from "../../src/home/addresses.js";
import type { World } from "../../src/loop/world.js";
import { SimHost } from "../sim/host.js";
import { deleteBridge, flushFirewall } from "../sim/network.js";
import { seeded } from "../sim/random.js";
import { LifeClock, Time } from "../sim/time.js";
import { SimWorld } from "../sim/world.js";
import type { Bench, HelperBench } from "./actor.js";
import { worldContract } from "./world.js";

const readyImage = "ready-00000001";

async function makeBench(mode: "user" | "system"): Promise<Bench> {
  const time = new Time();
  const chance = seeded(1);
  const host = new SimHost(time, chance, mode);
  host.faults = false;
  host.image(readyImage).ready = true;
  const make = (): World => new SimWorld(host, new LifeClock(time, chance), () => {});
  // As on the real host, time goes by on its own.
  let open = true;
  const flow = (async () => {
    while (open) await time.advance(100);
  })();
  const bench: Bench = {
    world: make(),
    readyImage,
    buildableImage: { id: "buildable-00000002", name: "buildable" },
    address: (n) => addressAt(loopbackRange(1), n),
    async restart() {
      await bench.world.close();
      bench.world = make();
    },
    killProcess({ pid }) {
      for (const [id, { process }] of host.vms)
        if (process?.pid === pid) host.exit(id, { reason: "lost", detail: "QEMU was killed by SIGKILL" });
    },
    cutGrowthShort: (id) => Object.assign(host.vm(id), { growing: "begun" }),
    loseResize2fs(id) {
      const { process } = host.vm(id);
      if (process !== null) process.growsFileSystem = false;
    },
    hideDirectory(id) {
      const vm = host.vm(id);
      vm.hidden = true;
      return () => {
        vm.hidden = false;
      };
    },
    abandonBuild(id) {
      host.image(id).partial = true;
    },
    ...(mode === "system" && { helper: helperBench(host) }),
    async close() {
      open = false;
      await flow;
    },
  };
  return bench;
}

const helperBench = (host: SimHost): HelperBench => ({
  async leave() {
    host.helper.die(1e9);
    return async () => host.helper.revive();
  },
  flushFirewall: () => flushFirewall(host),
  deleteBridge: () => deleteBridge(host),
  show: () => structuredClone([host.network, [...host.vms]]),
  breakDevice: (id) => Object.assign(host.vm(id), { device: false, loops: 1 }),
});

worldContract("the simulated host", () => makeBench("user"));
worldContract("the simulated host in system mode", () => makeBench("system"), "system");
