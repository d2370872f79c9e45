/** The immer fold of the log into the state. Never rejects an event; runs no effect. */
import { isDraft, original, produce } from "immer";
import { hostAfter } from "../machines/host.js";
import { imageAfter } from "../machines/image.js";
import { vmAfter } from "../machines/vm.js";
import { hostStream, type StoredEvent } from "../model/events.js";
import { noNetwork } from "../model/host-network.js";
import type { Image, State, Vm } from "../model/model.js";
import { noRecoveries } from "../model/recovery.js";

/** Raised whenever the fold changes meaning: snapshots of another number are ignored and the log is folded anew. */
export const stateSchema = 7;

export const initialState: State = {
  seq: 0,
  versions: {},
  lastSeqs: {},
  vms: {},
  images: {},
  host: noNetwork,
  lastAddressIndex: 0,
};

function newVm(event: Extract<StoredEvent, { type: "vm.created" }>): Vm {
  const { vmId, name, imageId, spec, address, addressIndex, commandId, labels, ttlMs } = event.data;
  return {
    id: vmId,
    name,
    imageId,
    spec,
    startedWith: null,
    phase: "stopped",
    step: null,
    address,
    addressIndex,
    everStarted: false,
    disksHoldData: false,
    stop: null,
    restart: false,
    error: null,
    lastExit: null,
    networkLostAt: null,
    paused: null,
    recoveries: noRecoveries,
    clockSetAt: null,
    bootTimeoutMs: 0,
    bootDeadlineAt: null,
    createdAt: event.at,
    changedAt: event.at,
    startedAt: null,
    readyAt: null,
    bootedAt: null,
    commandId,
    labels: labels ?? {},
    expiresAt: ttlMs === undefined ? null : event.at + ttlMs,
  };
}

function newImage(event: Extract<StoredEvent, { type: "image.pull_requested" | "image.found" }>): Image {
  const { imageId: id, name, source } = event.data;
  const image = { id, name, source, stage: null, error: null, changedAt: event.at };
  if (event.type === "image.pull_requested")
    return { ...image, phase: "building", sizeBytes: null, createdAt: event.at };
  const { sizeBytes, builtAt } = event.data;
  return { ...image, phase: "ready", sizeBytes, found: true, createdAt: builtAt };
}

/** The value itself where the draft holds one: machines edit plain objects, never drafts. */
const plain = (<T>(value: T): T => (isDraft(value) ? (original(value as object) as T) : value)) as <T>(
  v: T,
) => T;

function foldInto(draft: State, event: StoredEvent): void {
  draft.seq = event.seq;
  draft.versions[event.stream] = event.version;
  draft.lastSeqs[event.stream] = event.seq;
  if (event.type === "vm.created") {
    draft.vms[event.data.vmId] = newVm(event);
    draft.lastAddressIndex = event.data.addressIndex;
    return;
  }
  if (event.type === "log.stream_archived") {
    delete draft.vms[event.data.stream.slice("vm/".length)];
    delete draft.versions[event.data.stream];
    delete draft.lastSeqs[event.data.stream];
    draft.lastAddressIndex = event.data.lastAddressIndex;
    return;
  }
  if (event.stream === hostStream) {
    draft.host = hostAfter(plain(draft.host), event);
    return;
  }
  const [noun, id] = event.stream.split("/") as [string, string | undefined];
  if (id === undefined) return;
  if (noun === "vm") {
    const vm = draft.vms[id];
    if (vm !== undefined) draft.vms[id] = vmAfter(plain(vm), event);
  } else if (noun === "image") {
    const image = draft.images[id];
    if (image !== undefined) draft.images[id] = imageAfter(plain(image), event);
    else if (event.type === "image.pull_requested" || event.type === "image.found")
      draft.images[id] = newImage(event);
  }
}

/** The state after the events, in their order. */
export function fold(state: State, events: Iterable<StoredEvent>): State {
  return produce(state, (draft) => {
    for (const event of events) foldInto(draft, event);
  });
}
