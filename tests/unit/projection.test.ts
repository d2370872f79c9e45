/** The fold: pure, the same in one go and in parts, and never at a loss. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { fold, initialState } from "../../src/core/projection.js";
import { vmCan } from "../../src/machines/vm.js";
import {
  type EventType,
  event,
  imageStream,
  type NewEvent,
  type StoredEvent,
  vmStream,
} from "../../src/model/events.js";
import type { State } from "../../src/model/model.js";
import { eventTypes, given, imageId, sample, sampleData, stored, t0, vmId, withImage } from "../fixtures.js";
import { reached } from "../reached.js";

const vmIds = ["00000001", "00000002", "00000003"];
const images = ["a-00000001", "b-00000002"];

interface Step {
  type: EventType;
  /** The VM or image that it is told of. */
  which: number;
  at: number;
  /** If not null, the event is one that the VM can take, from this one on: so that histories lead somewhere. */
  next: EventType | null;
}

/** The way from its making to a guest that runs. */
const forwards: readonly EventType[] = [
  ...(["vm.start_requested", "vm.disk_attached", "vm.network_attached"] as const),
  ...(["vm.process_started", "vm.ready"] as const),
];

const step: fc.Arbitrary<Step> = fc.record({
  type: fc.constantFrom(...eventTypes),
  which: fc.nat({ max: 2 }),
  at: fc.integer({ min: t0, max: t0 + 1e6 }),
  next: fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...forwards) },
    { weight: 2, arbitrary: fc.constantFrom(...eventTypes) },
    { weight: 2, arbitrary: fc.constant(null) },
  ),
});

/** The event that the step is, of one of a few VMs and images. */
function factOf({ type, which, next }: Step, state: State): NewEvent {
  const vm = state.vms[vmIds[which] as string];
  if (vm === undefined && next !== null) return told("vm.created", which);
  const types = next !== null && forwards.includes(next) ? [...forwards, ...eventTypes] : eventTypes;
  const order = [...types.slice(types.indexOf(next ?? type)), ...types];
  const legal = vm && next !== null ? order.find((each) => vmCan(vm, sample(each))) : undefined;
  return told(legal ?? type, which);
}

function told(type: EventType, which: number): NewEvent {
  const id = vmIds[which] as string;
  const image = images[which % 2] as string;
  const fact = sample(type);
  const data = JSON.parse(JSON.stringify(fact.data)) as Record<string, unknown>;
  if ("vmId" in data) Object.assign(data, { vmId: id, addressIndex: which + 1 });
  if ("imageId" in data && type.startsWith("image.")) data["imageId"] = image;
  if (type === "log.stream_archived") data["stream"] = vmStream(id);
  const own = fact.stream.startsWith("vm/") ? vmStream(id) : fact.stream;
  return { stream: own.startsWith("image/") ? imageStream(image) : own, type, data } as NewEvent;
}

/** Any events that a log can hold; a VM is created once. */
const history = fc.array(step, { minLength: 10, maxLength: 60, size: "max" }).map((steps) => {
  const events: StoredEvent[] = [];
  let state: State = initialState;
  for (const each of steps) {
    const fact = factOf(each, state);
    if (fact.type === "vm.created" && state.vms[fact.data.vmId] !== undefined) continue;
    const next = stored(state, fact, each.at);
    state = fold(state, [next]);
    events.push(next);
  }
  return events;
});

const archives = ({ type, data }: StoredEvent, stream: string): boolean =>
  type === "log.stream_archived" && data.stream === stream;

/** Where it is cut. */
const tenth = fc.constantFrom(...Array.from({ length: 11 }, (_, n) => n));

/** Where a history is cut so that both parts tell something. */
const places: Readonly<Record<string, number>> = {
  ...{ stopped: 30, starting: 25, running: 2, stopping: 2, error: 1, deleting: 2, deleted: 7 },
  ...{ "an image": 4, "an archived VM": 4 },
};

/** What the two parts of a history are about. */
function* placesOf(events: readonly StoredEvent[], cut: number): Iterable<string> {
  if (cut === 0 || cut >= events.length) return;
  const { vms, images: those } = fold(initialState, events.slice(0, cut));
  yield* new Set(Object.values(vms).map(({ phase }) => phase));
  if (Object.keys(those).length > 0) yield "an image";
  if (events.slice(cut).some(({ type }) => type === "log.stream_archived")) yield "an archived VM";
}

function frozen<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const part of Object.values(value)) frozen(part);
  }
  return value;
}

describe("fold", () => {
  test("a history in two parts is the history in one", (t) => {
    const hit = reached(t, places);
    fc.assert(
      fc.property(history, tenth, (events, tenths) => {
        const cut = Math.floor((events.length * tenths) / 10);
        for (const place of placesOf(events, cut)) hit(place);
        const parts = fold(fold(initialState, events.slice(0, cut)), events.slice(cut));
        assert.deepEqual(parts, fold(initialState, events));
      }),
      { numRuns: 200 },
    );
  });

  test("neither state nor events are changed, and a snapshot of the state goes on like the state", (t) => {
    const hit = reached(t, places);
    fc.assert(
      fc.property(history, tenth, (events, tenths) => {
        const cut = Math.floor((events.length * tenths) / 10);
        for (const place of placesOf(events, cut)) hit(place);
        const before = fold(initialState, frozen(events).slice(0, cut));
        const snapshot = JSON.parse(JSON.stringify(before)) as State;
        const rest = events.slice(cut);
        assert.deepEqual(fold(frozen(snapshot), rest), fold(before, rest));
      }),
      { numRuns: 200 },
    );
  });

  test("seq and versions are those of the last events", (t) => {
    const hit = reached(t, { kept: 200, archived: 1 });
    fc.assert(
      fc.property(history, (events) => {
        const state = fold(initialState, events);
        assert.equal(state.seq, events.at(-1)?.seq ?? 0);
        for (const [stream, version] of Object.entries(state.versions)) {
          assert.equal(version, events.findLast((each) => each.stream === stream)?.version);
          hit("kept");
        }
        for (const stream of vmIds.map(vmStream)) {
          const last = events.findLast((each) => each.stream === stream || archives(each, stream));
          if (last === undefined || last.stream === stream) continue;
          assert.ok(!(stream in state.versions || stream in state.lastSeqs), stream);
          hit("archived");
        }
      }),
      { numRuns: 600 },
    );
  });

  test("an event of a stream that nobody knows moves nothing but seq and version", () => {
    for (const type of eventTypes) {
      const makes = [
        "vm.created",
        "image.pull_requested",
        "image.found",
        "host.network_wanted",
        "log.stream_archived",
      ];
      if (makes.includes(type)) continue;
      const state = given([sample(type)]);
      assert.deepEqual({ ...state, versions: {}, lastSeqs: {} }, { ...initialState, seq: 1 }, type);
    }
  });

  test("a VM that nothing happens to stays the same object", () => {
    const state = given([sample("vm.created")], t0, withImage);
    const later = given([event("daemon", "daemon.started", sampleData["daemon.started"])], t0 + 1, state);
    assert.equal(later.vms[vmId], state.vms[vmId]);
    assert.equal(later.images[imageId], state.images[imageId]);
  });

  test("an archived VM is forgotten, and the address that was given out last is not", () => {
    const gone = given(
      [sample("vm.created"), sample("vm.delete_requested"), sample("vm.deleted")],
      t0,
      withImage,
    );
    const record = event("log", "log.stream_archived", { stream: vmStream(vmId), lastAddressIndex: 1 });
    const live = given([record], t0, gone);
    assert.deepEqual([live.vms, live.versions[vmStream(vmId)], live.lastAddressIndex], [{}, undefined, 1]);
    const withoutItsEvents = given([record], t0, withImage);
    assert.equal(withoutItsEvents.lastAddressIndex, 1);
  });
});
