/** Values that tests of the pure core share: one event of each type, VMs and images brought into a phase by events. */

import { fold, initialState } from "../src/core/projection.js";
import { vmAfter, vmCan } from "../src/machines/vm.js";
import {
  daemonStream,
  type EventData,
  type EventType,
  event,
  hostStream,
  imageStream,
  logStream,
  type NewEvent,
  type StoredEvent,
  vmStream,
} from "../src/model/events.js";
import { openKey } from "../src/model/fits.js";
import type { Capabilities, Image, ObservedVm, State, Vm, VmSpec } from "../src/model/model.js";
import { netKey, publicNet } from "../src/model/net-policy.js";

export const vmId = "0a0b0c0d";
export const imageId = "debian-slim-0badcafe";
export const spec: VmSpec = { vcpu: 1, memoryMiB: 512, diskMiB: 1024, net: publicNet };
export const timeouts = { bootTimeoutMs: 60_000, stopTimeoutMs: 20_000 };
export const capabilities: Capabilities = {
  bridgeNetworking: false,
  netPolicies: true,
  portForwarding: true,
  rootDevice: false,
};
/** Those of system mode. */
export const bridged: Capabilities = {
  bridgeNetworking: true,
  netPolicies: false,
  portForwarding: false,
  rootDevice: true,
};
export const t0 = Date.UTC(2030, 0, 1);
export const identity = { pid: 41, startTime: "4100" };

const failure = { code: "broken", message: "it broke", retry: "later" } as const;

/** Data of one event of each type. */
export const sampleData: EventData = {
  "vm.created": {
    vmId,
    name: "ann",
    imageId,
    spec,
    address: "127.7.0.1",
    addressIndex: 1,
    commandId: "command-1",
  },
  "vm.spec_changed": { spec: { ...spec, diskMiB: 2048 } },
  "vm.labels_changed": { labels: { task: "t1" } },
  "vm.start_requested": { bootTimeoutMs: timeouts.bootTimeoutMs },
  "vm.stop_requested": { timeoutMs: timeouts.stopTimeoutMs },
  "vm.kill_requested": {},
  "vm.restart_requested": { timeoutMs: timeouts.stopTimeoutMs, bootTimeoutMs: 90_000 },
  "vm.delete_requested": {},
  "vm.expired": {},
  "vm.disk_attached": {},
  "vm.network_attached": { address: "127.7.0.1" },
  "vm.process_started": { pid: identity.pid },
  "vm.ready": { agent: "1.0" },
  "vm.booted": { init: "up" },
  "vm.clock_set": { behindMs: 30_000 },
  "vm.adopted": { pid: identity.pid },
  "vm.shutdown_asked": {},
  "vm.process_exited": { reason: "guest", detail: "powered off" },
  // One that banger brings the guest back from counts, and so makes ever other VMs: see recovery.ts.
  "vm.network_lost": {},
  "vm.network_restored": {},
  "vm.paused": { cause: "frozen" },
  "vm.resumed": {},
  "vm.effect_failed": { ...failure, effect: "ensureDisk" },
  "vm.step_failed": { ...failure, step: "disk" },
  "vm.file_skipped": { host: "~/.npmrc", guest: "/root/.npmrc" },
  "vm.deleted": {},
  "image.pull_requested": { imageId, name: "debian-slim", source: { kind: "catalog" } },
  "image.stage_reached": { stage: "packages" },
  "image.ready": { sizeBytes: 1000 },
  "image.effect_failed": { ...failure, effect: "ensureImage" },
  "image.build_failed": failure,
  "image.damaged": failure,
  "image.found": {
    ...{ imageId, name: "debian-slim", sizeBytes: 1000, builtAt: 0 },
    source: { kind: "catalog" },
  },
  "image.delete_requested": {},
  "image.deleted": {},
  "host.network_wanted": { tapPoolSize: 2, namesPort: 42069 },
  "host.network_ready": {},
  "host.network_lost": {},
  "host.effect_failed": { ...failure, effect: "ensureBridge" },
  "daemon.started": { version: "0" },
  "log.stream_archived": { stream: vmStream(vmId), lastAddressIndex: 1 },
};

const streamOf = (type: EventType): string => {
  if (type.startsWith("vm.")) return vmStream(vmId);
  if (type.startsWith("image.")) return imageStream(imageId);
  if (type.startsWith("host.")) return hostStream;
  return type === "daemon.started" ? daemonStream : logStream;
};

/** A new event of the type, with its sample data. */
export const sample = <T extends EventType>(type: T): NewEvent =>
  event(streamOf(type), type, sampleData[type]);

export const eventTypes = Object.keys(sampleData) as EventType[];

/** The event as the log would hold it next. */
export function stored(state: State, fact: NewEvent, at = t0): StoredEvent {
  const version = (state.versions[fact.stream] ?? 0) + 1;
  return { ...fact, seq: state.seq + 1, version, schema: 1, at, cause: "request:test" };
}

/** The state after the events, each appended at `at`. */
export const given = (events: readonly NewEvent[], at = t0, from: State = initialState): State =>
  events.reduce((state, fact) => fold(state, [stored(state, fact, at)]), from);

/** A state in which the image is ready. */
export const withImage: State = given([sample("image.pull_requested"), sample("image.ready")]);

/** The VM after `vm.created` and events of these types. */
export const vmAfterTypes = (...types: EventType[]): Vm =>
  given([sample("vm.created"), ...types.map(sample)]).vms[vmId] as Vm;

/** The image after `image.pull_requested` and events of these types. */
export const imageAfterTypes = (...types: EventType[]): Image =>
  given([sample("image.pull_requested"), ...types.map(sample)]).images[imageId] as Image;

/** Phase, with the step of a start and a restart that waits: where the VM is in its machine. */
export const position = ({ phase, step, restart }: Vm): string =>
  `${phase}${step === null ? "" : `.${step}`}${restart ? "+restart" : ""}`;

const starting: EventType[] = ["vm.start_requested"];
const booting: EventType[] = [...starting, "vm.disk_attached", "vm.network_attached", "vm.process_started"];

/** One way into each position of the VM's machine. */
export const ways: Readonly<Record<string, EventType[]>> = {
  stopped: [],
  "starting.disk": starting,
  "starting.network": booting.slice(0, 2),
  "starting.process": booting.slice(0, 3),
  "starting.agent": booting,
  running: [...booting, "vm.ready"],
  stopping: [...booting, "vm.ready", "vm.stop_requested"],
  "stopping+restart": [...booting, "vm.ready", "vm.restart_requested"],
  error: [...starting, "vm.step_failed"],
  deleting: ["vm.delete_requested"],
  deleted: ["vm.delete_requested", "vm.deleted"],
};

/** Every VM that any sequence of events at `t0` can make, by its JSON, with what each legal event makes of it. */
export function reachableVms(): Map<string, { vm: Vm; next: Map<EventType, string> }> {
  const found = new Map<string, { vm: Vm; next: Map<EventType, string> }>();
  const queue = [vmAfterTypes()];
  for (let vm = queue.pop(); vm !== undefined; vm = queue.pop()) {
    const key = JSON.stringify(vm);
    if (found.has(key)) continue;
    const next = new Map<EventType, string>();
    for (const type of eventTypes) {
      if (!vmCan(vm, sample(type))) continue;
      const then = vmAfter(vm, stored(initialState, sample(type)));
      next.set(type, JSON.stringify(then));
      queue.push(then);
    }
    found.set(key, { vm, next });
  }
  return found;
}

const present = { is: "present" } as const;
const absent = { is: "absent" } as const;

/** What a look shows of a VM whose guest is up and whose link answers. */
export const seenRunning: ObservedVm = {
  directory: present,
  rootDisk: { ...present, miB: 4096, growing: "no" },
  workDisk: { ...present, miB: spec.diskMiB, growing: "no" },
  seed: present,
  rootDevice: absent,
  bridge: absent,
  network: { ...present, whole: true },
  policy: { ...present, key: netKey(spec.net), fresh: true },
  runtime: { ...present, whole: true },
  process: { is: "present", ...identity },
  agent: { is: "present", answering: true, version: "1.0" },
  forwards: { is: "present", list: [{ guestPort: 22, hostPort: 22 }] },
  listeners: { is: "present", list: [] },
};

/** The same in system mode. */
export const seenBridged: ObservedVm = {
  ...seenRunning,
  rootDevice: { ...present, whole: true },
  bridge: present,
  policy: { ...present, key: openKey, fresh: true },
  forwards: absent,
};

/** What a look shows of a stopped VM that has been started before. */
export const seenStopped: ObservedVm = {
  ...seenRunning,
  runtime: absent,
  network: absent,
  policy: absent,
  process: absent,
  agent: absent,
  forwards: absent,
  listeners: absent,
};
