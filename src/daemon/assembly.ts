/** Drivers put together to a world: those of a mode, the VMMs, and the images, links and files that every home has. */
import type { HostWorld } from "../api/route.js";
import { AgentLinks, type Dial, type GuestAgent } from "../effects/agent/links.js";
import { vmDisks } from "../effects/disk/disks.js";
import { onlineGrowth } from "../effects/disk/online.js";
import { rootSizes } from "../effects/disk/root-sizes.js";
import type { WorkSeeds } from "../effects/disk/work.js";
import { handlesCache } from "../effects/handles-cache.js";
import { connectedAddresses } from "../effects/net/connections.js";
import { NetworkControls } from "../effects/net/controls.js";
import { userForwards } from "../effects/net/forwards.js";
import { LoopbackForwards } from "../effects/net/loopback-forwards.js";
import { describeHandles, type Instruments, look } from "../effects/observe.js";
import { type Drivers, perform } from "../effects/perform.js";
import { sshKeys } from "../effects/seed/ssh-keys.js";
import type { ReadUserFiles } from "../effects/seed/user-files.js";
import { VmmControls } from "../effects/vmm/controls.js";
import { vmmDriver } from "../effects/vmm/driver.js";
import { boundLogs } from "../effects/vmm/log-bound.js";
import { type ProcessScan, scanProcesses } from "../effects/vmm/processes.js";
import { endUnreachable } from "../effects/vmm/unreachable.js";
import { usageOf, type VmUsage } from "../effects/vmm/usage.js";
import type { AgentLine, Vmm } from "../effects/vmm/vmm.js";
import type { AddressRange } from "../home/addresses.js";
import { type Home, vmHandles } from "../home/handles.js";
import { lookAtHost } from "../host/room.js";
import type { RunTool } from "../host/run-tool.js";
import { sharedRun } from "../host/shared-run.js";
import { type ImageDriver, type ImageMaker, imageStore } from "../images/store.js";
import type { Clock } from "../lib/clock.js";
import { BangerError } from "../lib/errors.js";
import type { Warn } from "../lib/warn.js";
import type { World } from "../loop/world.js";
import { vmStream } from "../model/events.js";
import type { ObservedHost } from "../model/host.js";
import type { ImageId, ProcessIdentity, Seen, Vm, VmId } from "../model/model.js";
import type { ModeParts } from "./mode-user.js";

export interface AssemblyOptions<C extends GuestAgent> {
  home: Home;
  clock: Clock;
  mode: ModeParts;
  /** Every kind of which a VM may have a process. */
  vmms: readonly Vmm[];
  /** Which of them runs what is started from now on. */
  starts: Vmm;
  /** The client of the agent at the other end. */
  agentClient: (line: AgentLine) => C;
  images: ImageMaker;
  workSeeds: WorkSeeds;
  /** What new guests take over from their user. */
  userFiles: ReadUserFiles;
  /** The user's own SSH key; null where banger makes one. */
  sshKey: string | null;
  runTool: RunTool;
  warn: Warn;
  vmm: HostWorld["vmm"];
  /** What would execute the guest of a VM that is started now. */
  acceleration: HostWorld["acceleration"];
}

async function askGuest(client: GuestAgent | undefined, signal: AbortSignal): Promise<void> {
  if (client === undefined)
    throw new BangerError("agent_unreachable", "the guest's agent does not answer", { retry: "later" });
  await client.shutdown(signal);
}

function driversOf<C extends GuestAgent>(
  options: AssemblyOptions<C>,
  controls: VmmControls,
  links: AgentLinks<C>,
  images: ImageDriver,
  own: LoopbackForwards,
  networks: NetworkControls,
): Drivers {
  const { home, clock, mode, runTool, userFiles, workSeeds } = options;
  return {
    disks: vmDisks(
      home,
      { runTool, workSeeds, keys: sshKeys(home, runTool, options.sshKey), userFiles, clock },
      mode.root,
    ),
    vmm: vmmDriver({
      ...{ home, controls, vmms: options.vmms, starts: options.starts },
      askGuest: (id, signal) => askGuest(links.clientOf(id), signal),
    }),
    forwards: userForwards(controls, networks, own),
    bridge: mode.bridge,
    network: mode.network(networks),
    rootDevices: mode.rootDevices,
    growth: onlineGrowth({ home, root: mode.root }, controls, links),
    images,
    setClock: (id, signal) => links.setClock(id, signal),
    ensureRunning: (id) => controls.require(id).resume(),
    ensureAgentLink: (id) => links.ensure(id, controls.require(id).identity),
  };
}

export function assembleWorld<C extends GuestAgent>(options: AssemblyOptions<C>): HostWorld<C> {
  const { home, clock, mode, vmms, vmm, acceleration } = options;
  const listeners: ((stream: string) => void)[] = [];
  const wake = (stream: string) => {
    for (const listener of listeners) listener(stream);
  };
  const dial: Dial<C> = async (id, signal) => {
    const line = await controls.dial(id, signal);
    return { client: options.agentClient(line), closed: line.closed, close: () => line.close() };
  };
  const links = new AgentLinks(dial, clock, (id) => wake(vmStream(id)));
  const controls = new VmmControls(clock, (id) => {
    if (!controls.isHeld(id)) {
      links.drop(id);
      own.drop(id);
    }
    wake(vmStream(id));
  });
  const own = new LoopbackForwards(
    (id) => links.clientOf(id),
    (id) => wake(vmStream(id)),
  );
  const networks = new NetworkControls(home, clock, (id) => wake(vmStream(id)));
  const images = imageStore(home, options.images);
  const drivers = driversOf(options, controls, links, images, own, networks);
  const instruments: Instruments = {
    ...{ home, vmms, controls, links, own },
    networks: mode.resolvers && { controls: networks, resolvers: mode.resolvers },
    inspectImage: (id: ImageId) => images.inspect(id),
    lookAtPartial: (id: ImageId) => images.lookAtPartial(id),
    root: mode.root,
  };
  const cache = handlesCache(home, options.warn);
  const sizes = rootSizes(home, mode.root);
  const endBounding = boundLogs(home, clock, () => controls.ids(), options.warn);

  return {
    ...{ vmm, acceleration, capabilities: mode.capabilities },
    observe: sharedRun(async () => {
      const sight = await mode.look();
      return look(instruments, sight);
    }),
    showHandles: (observed) => cache.show(describeHandles(home, observed)),
    machine: () => lookAtHost(home),
    perform: (effect, context) => perform(drivers, effect, context),
    onWake: (listener) => void listeners.push(listener),
    clientOf: (id) => links.clientOf(id),
    vmms: () => scanProcesses(home, vmms),
    usageOf({ id, imageId }, process) {
      const handles = vmHandles(home, id);
      const rootBytes = sizes.bytes(handles, imageId);
      return usageOf({ root: mode.root.path(handles), rootBytes, work: handles.workDisk }, process);
    },
    leastRootMiB: sizes.leastMiB,
    connectedAddresses: () => connectedAddresses(mode.addresses),
    addresses: mode.addresses,
    endUnreachable: () => endUnreachable([...controls.identities(), ...networks.identities()]),
    async close() {
      own.close();
      networks.close();
      links.close();
      controls.close();
      await mode.close();
      await endBounding();
      await cache.close();
    },
  };
}
