/** The world of user mode on this host: which QEMU, which accelerator, which images, which agent. */
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { fileURLToPath } from "node:url";
import type { Logger } from "pino";
import type { Clock } from "../clock.js";
import type { Config } from "../config.js";
import { BangerError } from "../errors.js";
import type { AgentClient } from "../guest/agent.js";
import { type Home, imageHandles, vmHandles } from "../handles.js";
import { expandHome } from "../home.js";
import { imageMaker } from "../images/build.js";
import { observePartial } from "../images/builder-process.js";
import { ensureInitrd } from "../images/initrd.js";
import { verifyImage } from "../images/manifest.js";
import { registryAccess } from "../images/registry-access.js";
import { findWorkSeed } from "../images/work-seed.js";
import type { ImageId } from "../model.js";
import { agentDial } from "./agent-dial.js";
import { type AssembledWorld, assembleWorld } from "./assemble-world.js";
import { kvmState } from "./kvm.js";
import type { EnsureProcess, Launch } from "./qemu.js";
import { hostTscKHz, qemuArgv } from "./qemu-argv.js";
import { type RunTool, toolRunner } from "./run-tool.js";
import { sharedRun } from "./shared-run.js";
import { userFilesReader } from "./user-files.js";
import type { WorkSeeds } from "./work-disk.js";

export interface LocalWorldOptions {
  home: Home;
  config: Config;
  clock: Clock;
  logger: Logger;
  /** The daemon's own environment: PATH, and the proxies that image builds go through. */
  environment: Readonly<Record<string, string | undefined>>;
  /** The guest's agent; the one that was built with this program when absent. */
  agentPath?: string;
}

export interface LocalWorld extends AssembledWorld<AgentClient> {
  vmm: "qemu";
  accelerator: "kvm" | "tcg";
}

const builtAgent = fileURLToPath(new URL("../../../build/banger-agent", import.meta.url));
const usualPath = "/usr/local/bin:/usr/bin:/bin";

/** Where programs are looked up. */
export const searchPathOf = (environment: Readonly<Record<string, string | undefined>>): string =>
  environment["PATH"] || usualPath;

interface Machine {
  home: Home;
  qemuBin: string;
  accelerator: "kvm" | "tcg";
  agentPath: string;
}

/** What is made of an image when the first VM needs it; VMs that start at the same time share the making. */
function sharedMaker<T>(make: (id: ImageId) => Promise<T>): (id: ImageId) => Promise<T> {
  const makers = new Map<ImageId, () => Promise<T>>();
  return (id) => {
    const maker = makers.get(id) ?? sharedRun(() => make(id));
    makers.set(id, maker);
    return maker();
  };
}

/** Makes the first root of an image. */
function initrdMaker(home: Home, agentPath: string): (id: ImageId) => Promise<string> {
  return sharedMaker(async (id: ImageId): Promise<string> => {
    try {
      return await ensureInitrd(imageHandles(home, id).directory, agentPath);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).path !== agentPath) throw error;
      throw new BangerError("agent_missing", `the guest's agent is not at ${agentPath}`, {
        hint: "make build/banger-agent",
        cause: error,
      });
    }
  });
}

const seedDeadlineMs = 100_000;
const seedProgram = fileURLToPath(new URL("../images/work-seed-main.js", import.meta.url));

/** Finds the seed of an image; one that is missing or of another state of its root disk is made by another process. */
function seedFinder(home: Home, runTool: RunTool): WorkSeeds {
  const { signal } = new AbortController();
  const find = sharedMaker(async (id) => {
    const { directory } = imageHandles(home, id);
    const found = await findWorkSeed(directory);
    if (found.is !== "missing") return found;
    const argv = [seedProgram, directory];
    const tool = { tool: process.execPath, argv, writes: directory, package: "nodejs", signal };
    await runTool({ ...tool, deadlineMs: seedDeadlineMs });
    return findWorkSeed(directory);
  });
  return async (id) => {
    const found = await find(id);
    return "path" in found ? found.path : null;
  };
}

/** How QEMU runs a VM here. The image is checked first: a damaged one would only fail later and less clearly. */
function launcher({ home, qemuBin, accelerator, agentPath }: Machine) {
  const tscKHz = hostTscKHz(readFileSync("/proc/cpuinfo", "utf8"));
  const initrdOf = initrdMaker(home, agentPath);
  return async ({ vmId, imageId, spec }: EnsureProcess): Promise<Launch> => {
    const { directory, kernel } = imageHandles(home, imageId);
    const { bootArguments } = verifyImage(directory);
    const initrd = await initrdOf(imageId);
    const handles = vmHandles(home, vmId);
    const machine = { handles, spec, accelerator, tscKHz, kernel, initrd, bootArguments };
    return { file: qemuBin, argv: qemuArgv(machine) };
  };
}

/** Opens the world of a home; nothing is touched before the first look. */
export async function createLocalWorld(options: LocalWorldOptions): Promise<LocalWorld> {
  const { home, config, clock, logger, environment } = options;
  const searchPath = searchPathOf(environment);
  const accelerator = kvmState().usable ? "kvm" : "tcg";
  const agentPath = options.agentPath ?? builtAgent;
  const registry = registryAccess(home, config.registries, environment, searchPath);
  const maker = imageMaker({ home, clock, mirror: config.mirror, searchPath, registry, environment });
  const userHome = environment["HOME"] ?? homedir();
  const runTool = toolRunner(searchPath);
  const { fileSync, sshKeyPath } = config;
  const world = assembleWorld({
    home,
    clock,
    searchPath,
    qemuImg: "qemu-img",
    launch: launcher({ home, qemuBin: config.qemuBin, accelerator, agentPath }),
    dial: agentDial(home),
    images: { ...maker, isBuilding: (id) => observePartial(imageHandles(home, id).partial).building },
    workSeeds: seedFinder(home, runTool),
    userFiles: userFilesReader({ fileSync, userHome, environment, runTool }),
    sshKey: sshKeyPath && expandHome(sshKeyPath, userHome),
    runTool,
    warn: (message, details) => logger.warn(details, message),
  });
  return { ...world, vmm: "qemu", accelerator };
}
