/** Drivers put together to a world: QEMU, overlay disks, user networking and images of one home. */
import type { Clock } from "../clock.js";
import { BangerError } from "../errors.js";
import { vmStream } from "../events.js";
import type { Home } from "../handles.js";
import type { ImageId, ProcessIdentity, Seen, VmId } from "../model.js";
import { describeHandles, type Instruments, look } from "../observe.js";
import type { World } from "../world.js";
import { AgentLinks, type Dial, type GuestAgent } from "./agent-links.js";
import { connectedAddresses } from "./connections.js";
import { onlineGrowth } from "./disk-online.js";
import { overlayDisks } from "./disk-overlay.js";
import { handlesCache, type Warn } from "./handles-cache.js";
import { type ImageMaker, imageStore } from "./image-store.js";
import { boundLogs } from "./log-bound.js";
import { userForwards } from "./net-user.js";
import { type Drivers, perform } from "./perform.js";
import { type EnsureProcess, type Launch, qemuDriver } from "./qemu.js";
import { type RunTool, toolEnvironment } from "./run-tool.js";
import { sharedRun } from "./shared-run.js";
import { sshKeys } from "./ssh-keys.js";
import { usageOf, type VmUsage } from "./usage.js";
import type { ReadUserFiles } from "./user-files.js";
import { VmmControls } from "./vmm-controls.js";
import type { WorkSeeds } from "./work-disk.js";

export interface AssemblyOptions<C extends GuestAgent> {
  home: Home;
  clock: Clock;
  /** Where programs are looked up, as in PATH. */
  searchPath: string;
  qemuImg: string;
  /** Which program runs a VM, with which arguments. */
  launch: (effect: EnsureProcess) => Promise<Launch>;
  /** Connects to the agent of a VM's guest. */
  dial: Dial<C>;
  images: ImageMaker;
  workSeeds: WorkSeeds;
  /** What new guests take over from their user. */
  userFiles: ReadUserFiles;
  /** The user's own SSH key; null where banger makes one. */
  sshKey: string | null;
  runTool: RunTool;
  warn: Warn;
}

export interface AssembledWorld<C extends GuestAgent> extends World {
  /** The client of a guest agent that answers now, or undefined. */
  clientOf(id: VmId): C | undefined;
  /** Addresses of this host to which something is connected, or was a moment ago. */
  connectedAddresses(): ReadonlySet<string>;
  /** What the VM takes of its host, as of now. */
  usageOf(id: VmId, process: Seen<ProcessIdentity>): VmUsage;
}

async function askGuest(client: GuestAgent | undefined, signal: AbortSignal): Promise<void> {
  if (client === undefined)
    throw new BangerError("agent_unreachable", "the guest's agent does not answer", { retry: "later" });
  await client.shutdown(signal);
}

export function assembleWorld<C extends GuestAgent>(options: AssemblyOptions<C>): AssembledWorld<C> {
  const { home, clock, runTool, userFiles } = options;
  const listeners: ((stream: string) => void)[] = [];
  const wake = (stream: string) => {
    for (const listener of listeners) listener(stream);
  };
  const links = new AgentLinks(options.dial, clock, (id) => wake(vmStream(id)));
  const controls = new VmmControls(home, clock, (id) => {
    if (!controls.isHeld(id)) links.drop(id);
    wake(vmStream(id));
  });
  const images = imageStore(home, options.images);
  const drivers: Drivers = {
    disks: overlayDisks(home, {
      qemuImg: options.qemuImg,
      runTool,
      workSeeds: options.workSeeds,
      keys: sshKeys(home, runTool, options.sshKey),
      userFiles,
      clock,
    }),
    vmm: qemuDriver({
      home,
      clock,
      controls,
      environment: toolEnvironment(options.searchPath),
      launch: options.launch,
      askGuest: (id, signal) => askGuest(links.clientOf(id), signal),
    }),
    forwards: userForwards(controls),
    growth: onlineGrowth(home, controls, links),
    images,
    ensureAgentLink: (id) => links.ensure(id, controls.require(id).identity),
  };
  const instruments: Instruments = {
    home,
    controls,
    links,
    inspectImage: (id: ImageId) => images.inspect(id),
    isBuilding: (id: ImageId) => images.isBuilding(id),
  };
  const cache = handlesCache(home, options.warn);
  const endBounding = boundLogs(home, clock, () => controls.ids(), options.warn);

  return {
    capabilities: { userNetworking: true, portForwarding: true },
    observe: sharedRun(async () => {
      const observed = look(instruments);
      cache.show(describeHandles(home, observed));
      return observed;
    }),
    perform: (effect, context) => perform(drivers, effect, context),
    onWake: (listener) => {
      listeners.push(listener);
    },
    clientOf: (id) => links.clientOf(id),
    usageOf: (id, process) => usageOf(home, id, process),
    connectedAddresses: () => connectedAddresses(),
    async close() {
      links.close();
      controls.close();
      await endBounding();
      await cache.close();
    },
  };
}
