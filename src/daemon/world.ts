/** The world of this host: which mode, which VMM, which accelerator, which images, which agent. */
import { homedir } from "node:os";
import { fileURLToPath } from "node:url";
import type { Logger } from "pino";
import type { HostWorld } from "../api/route.js";
import type { Config } from "../config/form.js";
import type { WorkSeeds } from "../effects/disk/work.js";
import { userFilesReader } from "../effects/seed/user-files.js";
import { AgentClient } from "../guest/agent.js";
import { type Home, imageHandles, systemHandles } from "../home/handles.js";
import { expandHome, type Place } from "../host/home.js";
import { accelerationOf } from "../host/kvm.js";
import type { ProxyBook } from "../host/proxies.js";
import { type RunTool, toolEnvironment, toolRunner } from "../host/run-tool.js";
import { sharedRun } from "../host/shared-run.js";
import { imageMaker } from "../images/builder/build.js";
import { ensureInitrd } from "../images/kernel/initrd.js";
import { verifyImage } from "../images/manifest.js";
import { catalogIds } from "../images/queries.js";
import { registryAccess } from "../images/registry-access.js";
import { findWorkSeed } from "../images/work-seed.js";
import type { Clock } from "../lib/clock.js";
import { BangerError } from "../lib/errors.js";
import type { Warn } from "../lib/warn.js";
import type { ImageId } from "../model/model.js";
import { assembleWorld } from "./assembly.js";
import { localMode } from "./mode.js";
import { makeVmms } from "./vmms.js";

export interface LocalWorldOptions {
  place: Place;
  config: Config;
  clock: Clock;
  logger: Logger;
  /** The daemon's own environment. */
  environment: Readonly<Record<string, string | undefined>>;
  /** Which proxies images are fetched through. */
  proxies: ProxyBook;
  /** The guest's agent; the one that was built with this program when absent. */
  agentPath?: string;
}

const builtAgent = fileURLToPath(new URL("../../../build/banger-agent", import.meta.url));
const usualPath = "/usr/local/bin:/usr/bin:/bin";

/** Where programs are looked up. */
export const searchPathOf = (environment: Readonly<Record<string, string | undefined>>): string =>
  environment["PATH"] || usualPath;

/** What is made of an image when the first VM needs it; VMs that start at the same time share the making. */
function sharedMaker<T>(make: (id: ImageId) => Promise<T>): (id: ImageId) => Promise<T> {
  const makers = new Map<ImageId, () => Promise<T>>();
  return (id) => {
    const maker = makers.get(id) ?? sharedRun(() => make(id));
    makers.set(id, maker);
    return maker();
  };
}

/** Builds the initramfs of an image. */
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

/** What of an image a VMM is started with. It is checked first: a damaged one would only fail later and less clearly. */
function preparer(home: Home, agentPath: string) {
  const initrdOf = initrdMaker(home, agentPath);
  return async (imageId: ImageId) => {
    const { directory, kernel } = imageHandles(home, imageId);
    const { bootArguments } = verifyImage(directory);
    return { kernel, initrd: await initrdOf(imageId), bootArguments };
  };
}

/** Opens the world of a home; nothing is touched before the first look. */
export async function createLocalWorld(options: LocalWorldOptions): Promise<HostWorld> {
  const { place, config, clock, logger, environment } = options;
  const { home } = place;
  const searchPath = searchPathOf(environment);
  const acceleration = () => accelerationOf(config.accelerator);
  const prepare = preparer(home, options.agentPath ?? builtAgent);
  const registry = registryAccess(home, config.registries, environment, searchPath);
  const builderSocket = place.mode === "system" ? systemHandles().builderSocket : null;
  const { mirror } = config;
  const { proxies } = options;
  const catalog = await catalogIds();
  const maker = imageMaker({ home, clock, mirror, searchPath, registry, proxies, catalog, builderSocket });
  const userHome = environment["HOME"] ?? homedir();
  const runTool = toolRunner(searchPath);
  const { fileSync, guest, sshKeyPath } = config;
  const warn: Warn = (message, details) => logger.warn(details, message);
  const programs = toolEnvironment(searchPath);
  const mode = await localMode({ place, config, clock, environment: programs, warn });
  const vmmHost = { home, clock, config, prepare, acceleration, system: mode.system };
  return assembleWorld<AgentClient>({
    ...{ home, clock, mode: mode.parts },
    ...makeVmms({ ...vmmHost, environment: programs }, mode.starts),
    agentClient: (line) => new AgentClient(() => line.open()),
    images: maker,
    workSeeds: seedFinder(home, runTool),
    userFiles: userFilesReader({ fileSync, userHome, environment, runTool, guest }),
    sshKey: sshKeyPath && expandHome(sshKeyPath, userHome),
    runTool,
    warn,
    vmm: mode.starts.kind,
    acceleration,
  });
}
