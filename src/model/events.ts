/** Every event that the log can hold, its schema version, and the upcasters of older versions. */
import { BangerError, type ErrorBody } from "../lib/errors.js";
import type { WantedNetwork } from "./host-network.js";
import type {
  ImageId,
  ImageOrigin,
  ImageSource,
  Labels,
  PauseCause,
  ProcessExit,
  StageReached,
  StartStep,
  VmId,
  VmSpec,
} from "./model.js";
import { publicNet } from "./net-policy.js";

/** Type → data. Past tense: what was wanted or seen. Never a pid as truth, never a tick. */
export interface EventData {
  "vm.created": {
    vmId: VmId;
    name: string;
    imageId: ImageId;
    spec: VmSpec;
    address: string;
    addressIndex: number;
    commandId: string;
    labels?: Labels;
    /** How long it is wanted; without it, permanently. */
    ttlMs?: number;
  };
  /** The whole of it; a guest that runs has the old one, but for its disk, until it is started again. */
  "vm.spec_changed": { spec: VmSpec };
  /** All of them. */
  "vm.labels_changed": { labels: Labels };
  "vm.start_requested": { bootTimeoutMs: number };
  "vm.stop_requested": { timeoutMs: number };
  "vm.kill_requested": Record<string, never>;
  "vm.restart_requested": { timeoutMs: number; bootTimeoutMs: number };
  "vm.delete_requested": Record<string, never>;
  /** The time for which it was wanted is over; it is deleted. */
  "vm.expired": Record<string, never>;
  "vm.disk_attached": Record<string, never>;
  "vm.network_attached": { address: string };
  "vm.process_started": { pid: number };
  "vm.ready": { agent: string };
  /** The guest's init has come up, or (`unsaid`) is none that says so. */
  "vm.booted": { init: "up" | "unsaid" };
  /** The guest's clock was set right; it had been behind by that, or ahead where it is negative. */
  "vm.clock_set": { behindMs: number };
  "vm.adopted": { pid: number };
  "vm.shutdown_asked": Record<string, never>;
  "vm.process_exited": ProcessExit;
  /** The host's side of the network of a guest that runs is gone; banger makes it anew. */
  "vm.network_lost": Record<string, never>;
  "vm.network_restored": Record<string, never>;
  "vm.paused": { cause: PauseCause };
  "vm.resumed": Record<string, never>;
  /** `untold`: failures of this effect before it that the log was spared. */
  "vm.effect_failed": ErrorBody & { effect: string; untold?: number };
  "vm.step_failed": ErrorBody & { step: StartStep };
  /** A file that its configuration gives every new guest is not on the host. */
  "vm.file_skipped": { host: string; guest: string };
  "vm.deleted": Record<string, never>;
  "image.pull_requested": { imageId: ImageId; name: string; source: ImageSource };
  "image.stage_reached": StageReached;
  "image.ready": { sizeBytes: number };
  /** A try failed that is made again; `untold` as with VMs. */
  "image.effect_failed": ErrorBody & { effect: string; untold?: number };
  "image.build_failed": ErrorBody;
  "image.damaged": ErrorBody;
  /** It lies there whole, and this home did not have it made: homes may share their images. */
  "image.found": { imageId: ImageId; sizeBytes: number } & ImageOrigin;
  "image.delete_requested": Record<string, never>;
  "image.deleted": Record<string, never>;
  /** What a daemon of system mode, which has just started, wants of its host for all VMs. */
  "host.network_wanted": WantedNetwork;
  "host.network_ready": Record<string, never>;
  "host.network_lost": Record<string, never>;
  /** `untold` as for VMs. */
  "host.effect_failed": ErrorBody & { effect: string; untold?: number };
  "daemon.started": { version: string };
  /** `lastAddressIndex` as it stood: the events that it followed from may be archived. */
  "log.stream_archived": { stream: string; lastAddressIndex: number };
}

export type EventType = keyof EventData;

/** An event before the log has numbered it. */
export type NewEvent = { [T in EventType]: { stream: string; type: T; data: EventData[T] } }[EventType];

/** An event as the log holds it, upcast to the present schema. `at` is ms since the epoch and orders nothing. */
export type StoredEvent = NewEvent & {
  seq: number;
  version: number;
  schema: number;
  at: number;
  /** `event:<seq>` or `request:<id>`: what led to this event. */
  cause: string;
};

export const vmStream = (id: VmId): string => `vm/${id}`;
export const imageStream = (id: ImageId): string => `image/${id}`;
/** One for all: what VMs share on their host. */
export const hostStream = "host";
export const daemonStream = "daemon";
export const logStream = "log";

/** The cause of what the daemon asks for because nobody uses a VM. */
export const autoStopCause = "host:auto_stop";

/** Builds one event; the type parameter ties `data` to `type`. */
export function event<T extends EventType>(stream: string, type: T, data: EventData[T]): NewEvent {
  return { stream, type, data } as NewEvent;
}

/** Present schema version of each event type; a version above it was written by a newer banger. */
export const schemaVersions: Readonly<Record<EventType, number>> = {
  "vm.created": 2,
  "vm.spec_changed": 2,
  "vm.labels_changed": 1,
  "vm.start_requested": 1,
  "vm.stop_requested": 1,
  "vm.kill_requested": 1,
  "vm.restart_requested": 1,
  "vm.delete_requested": 1,
  "vm.expired": 1,
  "vm.disk_attached": 1,
  "vm.network_attached": 1,
  "vm.process_started": 1,
  "vm.ready": 1,
  "vm.booted": 1,
  "vm.clock_set": 1,
  "vm.adopted": 1,
  "vm.shutdown_asked": 1,
  "vm.process_exited": 2,
  "vm.network_lost": 1,
  "vm.network_restored": 1,
  "vm.paused": 1,
  "vm.resumed": 1,
  "vm.effect_failed": 1,
  "vm.step_failed": 1,
  "vm.file_skipped": 1,
  "vm.deleted": 1,
  "image.pull_requested": 2,
  "image.stage_reached": 1,
  "image.ready": 1,
  "image.effect_failed": 1,
  "image.build_failed": 1,
  "image.damaged": 1,
  "image.found": 1,
  "image.delete_requested": 1,
  "image.deleted": 1,
  "host.network_wanted": 1,
  "host.network_ready": 1,
  "host.network_lost": 1,
  "host.effect_failed": 1,
  "daemon.started": 1,
  "log.stream_archived": 1,
};

type Upcaster = (data: unknown) => unknown;
/** `[type][n]` turns data of schema n into data of schema n + 1. */
export type Upcasters = Readonly<Record<string, Readonly<Record<number, Upcaster>>>>;

/** A guest got out, or it did not. What it reached then of its LAN, it does not any more. */
function withPolicy(data: unknown): unknown {
  const { spec, ...rest } = data as { spec: Omit<VmSpec, "net"> & { nat: boolean } };
  const { nat, ...others } = spec;
  return { ...rest, spec: { ...others, net: nat ? publicNet : { ...publicNet, mode: "none" } } };
}

const upcasters: Upcasters = {
  "vm.created": { 1: withPolicy },
  "vm.spec_changed": { 1: withPolicy },
  // A guest that rebooted was one that ended, and nothing brought it back.
  "vm.process_exited": { 1: (data) => data },
  // There was nothing but the catalog.
  "image.pull_requested": { 1: (data) => ({ ...(data as object), source: { kind: "catalog" } }) },
};

/** A row of the log as it was written, before upcasting. */
export interface RawEvent {
  seq: number;
  stream: string;
  version: number;
  type: string;
  schema: number;
  at: number;
  cause: string;
  data: unknown;
}

/**
 * Brings a row to the present schema, one version at a time.
 * @throws BangerError `log_newer` for a type or schema that this version does not know.
 */
export function upcast(
  raw: RawEvent,
  known: Readonly<Record<string, number>> = schemaVersions,
  steps: Upcasters = upcasters,
): StoredEvent {
  const target = known[raw.type];
  if (target === undefined || raw.schema > target) {
    throw new BangerError(
      "log_newer",
      `event ${raw.seq} (${raw.type}, schema ${raw.schema}) was written by a newer banger`,
      { hint: "install the banger version that wrote it; nothing was changed" },
    );
  }
  let data = raw.data;
  for (let schema = raw.schema; schema < target; schema++) {
    const step = steps[raw.type]?.[schema];
    if (step === undefined)
      throw new BangerError("log_corrupt", `no upcaster for ${raw.type} schema ${schema}`);
    data = step(data);
  }
  return { ...raw, schema: target, data } as StoredEvent;
}
