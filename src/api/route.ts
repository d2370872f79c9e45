/** What every route is given and how it answers. */
import type { FastifyReply } from "fastify";
import type { routes, VmStats } from "../contract/contract.js";
import type { DaemonView, DefaultsView } from "../contract/daemon.js";
import type { Timeouts } from "../core/decide.js";
import type { Room } from "../core/room.js";
import type { GuestAgent } from "../effects/agent/links.js";
import type { ProcessScan } from "../effects/vmm/processes.js";
import type { AgentClient } from "../guest/agent.js";
import type { AddressRange } from "../home/addresses.js";
import type { Home } from "../home/handles.js";
import type { Images } from "../images/queries.js";
import type { Clock } from "../lib/clock.js";
import type { Ledger } from "../log/ledger.js";
import type { World } from "../loop/world.js";
import type { ObservedHost } from "../model/host.js";
import type { ImageId, Observed, ProcessIdentity, Seen, Vm, VmId } from "../model/model.js";
import type { Activity } from "./activity.js";

/** The host as a daemon has it: what the loop turns on, the links to the guests, and where those live. */
export interface HostWorld<C extends GuestAgent = AgentClient> extends World {
  /** What VMs are started with. */
  vmm: string;
  /** Where new VMs have their addresses from. */
  addresses: AddressRange;
  /** What the machine has for VMs, as of now. */
  machine(): ObservedHost;
  /** The client of the guest's agent; undefined while no link is up. */
  clientOf(id: VmId): C | undefined;
  /** Every VMM of this home, whether the log knows its VM or not. */
  vmms(): ProcessScan;
  /** Addresses of this host to which something is connected, or was a moment ago. */
  connectedAddresses(): ReadonlySet<string>;
  /** What would execute the guest of a VM that is started now, and why that is not KVM. @throws BangerError */
  acceleration(): Promise<{ accelerator: string; why: string | null }>;
  /** The size of root disks over that image, which they can only grow from; null where they cannot grow. */
  leastRootMiB(imageId: ImageId): number | null;
  /** The VM's current resource usage on the host. */
  usageOf(
    vm: Pick<Vm, "id" | "imageId">,
    process: Seen<ProcessIdentity>,
  ): Pick<VmStats, "cpuMs" | "rssBytes" | "rootBytes" | "rootMiB" | "diskBytes">;
  /** Has handles.json tell what a look found. */
  showHandles(observed: Observed): void;
  /** Ends the VMMs that nobody can reach any more because their home was deleted; returns how many. */
  endUnreachable(): number;
}

export interface ApiDeps {
  ledger: Ledger;
  world: HostWorld;
  home: Home;
  clock: Clock;
  timeouts: Timeouts;
  /** What the owner allows VMs to take of this machine. */
  allowed: Pick<Room, "memoryPercent" | "reserveMiB">;
  uses: Activity;
  defaults: DefaultsView;
  /** The user's key for ssh. */
  sshKey: string;
  images: Images;
  about: Pick<DaemonView, "pid" | "version" | "startedAt" | "vmm" | "dns" | "searchPath">;
  warn(message: string, details: object): void;
  /** Ends the daemon after the reply. */
  stop(): void;
}

/** What a command is judged by that asks something of this machine. */
export const roomOf = ({ world, allowed }: Pick<ApiDeps, "world" | "allowed">, force = false): Room => ({
  host: world.machine(),
  ...allowed,
  force,
});

export type RouteName = keyof typeof routes;
export interface Call<Body = unknown, Query = unknown, Headers = unknown> {
  params: Record<string, string>;
  body: Body;
  query: Query;
  headers: Headers;
  /** `request:<id>`, the cause of what the call appends. */
  cause: string;
  /** Aborted when the client goes away. */
  gone: AbortSignal;
  reply: FastifyReply;
}
export type Handle = <Body, Query, Headers = unknown>(
  name: RouteName,
  handler: (call: Call<Body, Query, Headers>) => unknown,
) => void;
