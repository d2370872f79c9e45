/** A cold `vm run` against the same kernel, disks and machine started by hand until the agent answers. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { AgentClient } from "../src/guest/agent.js";
import { MuxHost } from "../src/guest/mux.js";
import { vmHandles } from "../src/home/handles.js";
import type { TestHome } from "../tests/e2e/harness.js";
import { type Figure, median, pairs, ratio, type Timed } from "./measure.js";

const rounds = 7;
const bootRounds = 3;
const size = ["--vcpu", "1", "--memory", "512M", "--disk-size", "1G"];

export async function coldBoot(home: TestHome): Promise<Figure[]> {
  const floor = await bareQemu(home);
  const banger: Timed = {
    run: async () => {
      await home.ok("vm", "run", "--rm", "--wait", "agent", ...size, "--", "true");
    },
  };
  const samples = await pairs(rounds, banger, floor);
  const booted: number[] = [];
  for (let round = 0; round < bootRounds; round++) {
    const began = performance.now();
    await home.ok("vm", "run", "--rm", "--wait", "boot", ...size, "--", "true");
    booted.push(performance.now() - began);
  }
  await home.ok("vm", "delete", "model");
  const value = ratio(samples);
  const seconds = median(samples.measured) / 1000;
  const about = "cold `vm run --rm --wait agent -- true` / QEMU by hand until the agent answers";
  return [
    { name: "a", about, value, unit: "×", bound: "≤ 1.10", holds: value <= 1.1, samples: { ...samples } },
    {
      name: "a",
      about: "the same, wall",
      value: seconds,
      unit: "s",
      bound: "≤ 12",
      holds: seconds <= 12,
      samples: {},
    },
    {
      name: "a",
      about: "without `--wait agent`: the guest's init has come up too, wall",
      value: median(booted) / 1000,
      unit: "s",
      bound: "shown",
      holds: true,
      samples: {},
    },
  ];
}

/** Boots copies of a banger VM's disks with that VM's own command line, and asks the agent for /healthz. */
async function bareQemu(home: TestHome): Promise<Timed> {
  await home.ok("vm", "run", "-d", "--name", "model", ...size);
  const { id, pid } = await home.vm("model");
  const [file, ...options] = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
  await home.ok("vm", "stop", "model");
  const { directory, runtime } = vmHandles(home.home, id);
  const info = execFileSync("qemu-img", ["info", "--output=json", `${directory}/root.qcow2`], {
    encoding: "utf8",
  });
  const backing = (JSON.parse(info) as Record<string, string>)["full-backing-filename"] as string;
  const bare = join(home.root, "bare");
  const argv = options.map((option) => option.replaceAll(directory, bare).replaceAll(runtime, bare));
  let qemu: ChildProcess;
  return {
    prepare: () => {
      rmSync(bare, { recursive: true, force: true });
      mkdirSync(bare);
      execFileSync("qemu-img", [
        "create",
        "-q",
        "-f",
        "qcow2",
        "-F",
        "raw",
        "-b",
        backing,
        `${bare}/root.qcow2`,
      ]);
      execFileSync("cp", ["--sparse=always", `${directory}/work.raw`, `${directory}/seed.tar`, bare]);
    },
    run: async () => {
      qemu = spawn(file as string, argv, { stdio: "ignore" });
      await answer(join(bare, "agent.sock"));
    },
    clean: async () => {
      const gone = new Promise((resolve) => qemu.once("exit", resolve));
      qemu.kill("SIGKILL");
      await gone;
    },
  };
}

async function answer(path: string): Promise<void> {
  for (;;) {
    const up = await new Promise<MuxHost | undefined>((resolve) => {
      const socket = createConnection(path);
      socket.on("error", () => resolve(undefined));
      const mux = new MuxHost(socket, { onUp: () => resolve(mux) });
    });
    if (up !== undefined) {
      await new AgentClient(() => up.open()).health();
      up.destroy();
      return;
    }
    await pause(5);
  }
}
