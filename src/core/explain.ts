/** Pure: events as plain sentences, one VM's life as a list, and the chain of causes behind its state. */

import { isKernelId } from "../home/handles.js";
import type { ErrorBody } from "../lib/errors.js";
import { formatBytes, formatDuration, formatSize } from "../lib/sizes.js";
import { autoStopCause, type EventData, type StoredEvent, vmStream } from "../model/events.js";
import type { HostNetwork } from "../model/host-network.js";
import type { Labels, ObservedVm, PauseCause, Phase, ProcessExit, Vm, VmSpec } from "../model/model.js";
import type { NetMode, NetPolicy } from "../model/net-policy.js";
import { effectText } from "./effect-words.js";
import { fold, initialState } from "./projection.js";

/** The event as one plain sentence. */
export function sentence(event: StoredEvent): string {
  const text = clause(event);
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

/** The event as a main clause, to be used within a sentence. */
function clause(event: StoredEvent): string {
  if (isOfHost(event)) return hostClause(event);
  switch (event.type) {
    case "vm.created":
      return createdClause(event.data);
    case "vm.spec_changed":
      return `a client asked for it to have ${specClause(event.data.spec)}`;
    case "vm.labels_changed":
      return `a client labelled it: ${labelsText(event.data.labels) || "no labels"}`;
    case "vm.start_requested":
      return `a client asked for a start (it fails after ${formatDuration(event.data.bootTimeoutMs)})`;
    case "vm.stop_requested":
      return `${asker(event)} asked for a stop (killed after ${formatDuration(event.data.timeoutMs)})`;
    case "vm.kill_requested":
      return "a client asked for a kill";
    case "vm.restart_requested":
      return `a client asked for a restart (killed after ${formatDuration(event.data.timeoutMs)})`;
    case "vm.expired":
      return "its time to live has passed, so it is deleted";
    case "vm.disk_attached":
      return "its disks are in place";
    case "vm.network_attached":
      return `its network is in place, with the address ${event.data.address}`;
    case "vm.process_started":
      return `its VMM process started (pid ${event.data.pid})`;
    case "vm.ready":
      return `its guest answered (agent ${event.data.agent})`;
    case "vm.booted":
    case "vm.clock_set":
      return "init" in event.data ? bootClauses[event.data.init] : clockClause(event.data.behindMs);
    case "vm.adopted":
      return `a new daemon found its VMM process (pid ${event.data.pid}) and took it over`;
    case "vm.shutdown_asked":
      return "its guest was asked to shut down";
    case "vm.process_exited":
      return exitClause(event.data);
    case "vm.network_lost":
      return "its network was lost, and banger is restoring it";
    case "vm.network_restored":
      return "its network was restored";
    case "vm.paused":
      return `its guest is paused: ${pauseText[event.data.cause]}`;
    case "vm.resumed":
      return "its guest resumed";
    case "vm.effect_failed":
      return failedTry(event.data);
    case "vm.step_failed":
      return `its start failed at the ${event.data.step} step: ${event.data.message}`;
    case "vm.file_skipped":
      return `the host has no ${event.data.host}, so the guest goes without ${event.data.guest}`;
    case "vm.delete_requested":
      return "a client asked for it to be deleted";
    case "vm.deleted":
      return "nothing is left of it on the host";
    case "daemon.started":
      return `the daemon started (version ${event.data.version})`;
    case "log.stream_archived":
      return `the events of ${event.data.stream} moved to the archive`;
    default:
      return imageClause(event);
  }
}

/** The same of an event of an image or kernel. */
function imageClause(event: Extract<StoredEvent, { type: `image.${string}` }>): string {
  switch (event.type) {
    case "image.pull_requested":
      return `a client asked for ${isKernelId(event.data.imageId) ? "the kernel" : "the image"} ${event.data.name}`;
    case "image.stage_reached":
      return `its build reached ${[event.data.stage, event.data.detail].filter(Boolean).join(": ")}`;
    case "image.ready":
      return `it is ready (${formatBytes(event.data.sizeBytes)})`;
    case "image.effect_failed":
      return failedTry(event.data);
    case "image.build_failed":
      return `its build failed and will not be retried: ${event.data.message}`;
    case "image.found":
      return `it was found on the disk (${formatBytes(event.data.sizeBytes)})`;
    case "image.damaged":
      return event.data.message;
    case "image.delete_requested":
      return "a client asked for it to be deleted";
    case "image.deleted":
      return "nothing is left of it on the host";
    default:
      return (event satisfies never as StoredEvent).type;
  }
}

type HostEvent = Extract<StoredEvent, { type: `host.${string}` }>;
const isOfHost = (event: StoredEvent): event is HostEvent => event.type.startsWith("host.");

/** The same of what VMs share on their host. */
function hostClause(event: HostEvent): string {
  switch (event.type) {
    case "host.network_wanted": {
      const { tapPoolSize, namesPort } = event.data;
      const names = namesPort === null ? "" : `, and names asked for at port ${namesPort}`;
      return `the daemon wants the VMs' bridge, with ${tapPoolSize} taps ready${names}`;
    }
    case "host.network_ready":
      return "the VMs' bridge is ready";
    case "host.network_lost":
      return "the VMs' bridge is gone, or lacks its address or rules; it will be created again";
    case "host.effect_failed":
      return failedTry({ ...event.data, retry: "later" });
    default:
      return (event satisfies never as StoredEvent).type;
  }
}

const labelsText = (labels: Labels): string =>
  Object.entries(labels)
    .map(([key, value]) => (value === "" ? key : `${key}=${value}`))
    .join(", ");

const netModeText: Readonly<Record<NetMode, string>> = {
  public: "",
  none: ", and no network",
  allow: ", with access to nothing on the network but what is allowed",
  all: ", with access to the LAN",
};

function netClause({ mode, allow, deny }: NetPolicy): string {
  const allowed = allow.length > 0 ? `, ${allow.join(", ")} allowed` : "";
  return `${netModeText[mode]}${allowed}${deny.length > 0 ? `, ${deny.join(", ")} blocked` : ""}`;
}

const specClause = ({ vcpu, memoryMiB, diskMiB, rootMiB, net }: VmSpec): string =>
  `${vcpu} vcpu, ${formatSize(memoryMiB)} and ${formatSize(diskMiB)} of disk` +
  `${rootMiB === undefined ? "" : `, ${formatSize(rootMiB)} for /`}${netClause(net)}`;

function createdClause({ name, imageId, spec, address, ttlMs }: EventData["vm.created"]): string {
  const until = ttlMs === undefined ? "" : `, for ${formatDuration(ttlMs)}`;
  return `it was created as ${name}, from ${imageId} with ${specClause(spec)}, at ${address}${until}`;
}

/** What the daemon asks for of itself has a cause of its own; everything else comes from a client. */
const asker = ({ cause }: StoredEvent): string =>
  cause === autoStopCause ? "banger saw that it was idle and" : "a client";

/** Why a guest is paused, in words. */
export const pauseText: Readonly<Record<PauseCause, string>> = {
  host_disk_full: "the disk of its host is full",
  stopped: "something stopped it through QEMU's control socket",
  debugged: "a debugger stopped it",
  frozen: "its VMM process was stopped by a signal",
  vmm_error: "its VMM cannot continue it",
};

function failedTry({ effect, retry, message, untold = 0 }: ErrorBody & { effect: string; untold?: number }) {
  const again = retry === "later" ? "will be retried" : "will not be retried";
  const more = untold === 0 ? "" : ` (it had failed ${untold} more times)`;
  return `${effectText(effect)} failed and ${again}: ${message}${more}`;
}

const bootClauses = { up: "its init had come up", unsaid: "its init does not say when it is up" };

const clockClause = (behindMs: number): string =>
  `its clock was corrected: it was ${formatDuration(Math.abs(behindMs))} ${behindMs > 0 ? "behind" : "ahead"}`;

function exitClause({ reason, detail }: ProcessExit): string {
  switch (reason) {
    case "asked":
      return `its VMM process exited as requested (${detail})`;
    case "guest":
      return `its guest shut down by itself (${detail})`;
    case "reboot":
      return "its guest rebooted";
    case "panic":
      return `${detail.replace(/^the/, "its")}`;
    case "lost":
      return `its VMM process exited unexpectedly (${detail})`;
    default:
      return reason satisfies never;
  }
}

export interface HistoryEntry {
  seq: number;
  /** Ms since the epoch. */
  at: number;
  /** Until the next entry; null for the last one. */
  durationMs: number | null;
  type: string;
  sentence: string;
}

/** One stream's events with how long each lasted. */
export function history(events: readonly StoredEvent[]): HistoryEntry[] {
  return events.map((event, index) => {
    const next = events[index + 1];
    // A clock that was set back makes no negative durations.
    const durationMs = next === undefined ? null : Math.max(0, next.at - event.at);
    return { seq: event.seq, at: event.at, durationMs, type: event.type, sentence: sentence(event) };
  });
}

/** An event that brought the VM into another phase. */
interface Turn {
  event: StoredEvent;
  phase: Phase;
}

function turnsOf(vm: Vm, events: readonly StoredEvent[]): Turn[] {
  const turns: Turn[] = [];
  let state = initialState;
  for (const event of events) {
    state = fold(state, [event]);
    const phase = state.vms[vm.id]?.phase;
    if (phase !== undefined && phase !== turns.at(-1)?.phase) turns.push({ event, phase });
  }
  return turns;
}

/** What a start waits for that is not the VM's own, as a sentence. */
export function waitingForBridge({ step }: Vm, { bridge }: ObservedVm, { error }: HostNetwork): string[] {
  if ((step !== "network" && step !== "process") || bridge.is !== "absent") return [];
  const cause = error === null ? "" : `: ${error.effect} failed and will be retried: ${error.message}`;
  return [`It waits for the host's bridge, which does not exist${cause}.`];
}

/**
 * Why the VM is as it is: its present phase first, then back along the causes to what a client asked for.
 * `events` are those of its stream, oldest first.
 */
export function why(vm: Vm, events: readonly StoredEvent[]): string[] {
  const own = events.filter(({ stream }) => stream === vmStream(vm.id));
  const turns = turnsOf(vm, own);
  const present = turns.at(-1);
  if (present === undefined) return [`${vm.name} is ${inPhase(vm.phase)}; the log has no event about it.`];
  const time = (at: number) => timeNear(at, present.event.at);
  const chain = [
    `${vm.name} is ${inPhase(vm.phase)} since ${timeOf(present.event.at)}: ${clause(present.event)}.`,
  ];
  for (const event of own.slice(own.indexOf(present.event) + 1)) {
    chain.push(`Since then, at ${time(event.at)}: ${clause(event)}.`);
  }
  let turn = present;
  while (!turn.event.cause.startsWith("request:")) {
    const before = turnBefore(turns, turn, own);
    if (before === undefined) break;
    chain.push(
      `It had been ${inPhase(before.phase)} since ${time(before.event.at)}: ${clause(before.event)}.`,
    );
    turn = before;
  }
  const { cause } = turn.event;
  if (cause.startsWith("request:")) chain.push(`That was asked for by request ${cause.slice(8)}.`);
  return chain;
}

/** The turn that led to this one: that of its cause, else the one before it in the stream. */
function turnBefore(turns: readonly Turn[], turn: Turn, own: readonly StoredEvent[]): Turn | undefined {
  const cause = own.find(({ seq }) => turn.event.cause === `event:${seq}`);
  const limit = cause === undefined ? turn.event.seq - 1 : cause.seq;
  return turns.findLast(({ event }) => event.seq <= limit && event.seq < turn.event.seq);
}

const inPhase = (phase: Phase): string => (phase === "error" ? "in error" : phase);

const timeOf = (at: number): string => `${new Date(at).toISOString().slice(0, 19).replace("T", " ")} UTC`;

/** The time alone on the reference's day, else with the date. */
const timeNear = (at: number, reference: number): string =>
  timeOf(at).slice(0, 10) === timeOf(reference).slice(0, 10) ? timeOf(at).slice(11) : timeOf(at);
