/** The fold: pure, the same in one go and in parts, and never at a loss. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { fold, initialState } from "../../src/core/projection.js";
import { event, imageStream, type NewEvent, type StoredEvent, vmStream } from "../../src/model/events.js";
import type { State } from "../../src/model/model.js";
import { eventTypes, given, imageId, sample, sampleData, stored, t0, vmId, withImage } from "../fixtures.js";

const vmIds = ["00000001", "00000002", "00000003"];
const images = ["a-00000001", "b-00000002"];

/** Any event that a log can hold, of one of a few VMs and images; VMs are created once. */
const anyEvent = fc
  .record({
    type: fc.constantFrom(...eventTypes),
    which: fc.nat({ max: 2 }),
    at: fc.integer({ min: t0, max: t0 + 1e6 }),
  })
  .map(({ type, which, at }) => {
    const id = vmIds[which] as string;
    const image = images[which % 2] as string;
    const fact = sample(type);
    const data = JSON.parse(JSON.stringify(fact.data)) as Record<string, unknown>;
    if ("vmId" in data) Object.assign(data, { vmId: id, addressIndex: which + 1 });
    if ("imageId" in data && type.startsWith("image.")) data["imageId"] = image;
    if (type === "log.stream_archived") data["stream"] = vmStream(id);
    const { stream } = fact;
    const own = stream.startsWith("vm/")
      ? vmStream(id)
      : stream.startsWith("image/")
        ? imageStream(image)
        : stream;
    return { fact: { stream: own, type, data } as NewEvent, at };
  });

const history = fc.array(anyEvent, { maxLength: 60 }).map((steps) => {
  const events: StoredEvent[] = [];
  let state: State = initialState;
  for (const { fact, at } of steps) {
    const next = stored(state, fact, at);
    state = fold(state, [next]);
    events.push(next);
  }
  return events;
});

function frozen<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const part of Object.values(value)) frozen(part);
  }
  return value;
}

describe("fold", () => {
  test("a history in two parts is the history in one", () => {
    fc.assert(
      fc.property(history, fc.nat({ max: 60 }), (events, cut) => {
        const parts = fold(fold(initialState, events.slice(0, cut)), events.slice(cut));
        assert.deepEqual(parts, fold(initialState, events));
      }),
    );
  });

  test("neither state nor events are changed, and a snapshot of the state goes on like the state", () => {
    fc.assert(
      fc.property(history, fc.nat({ max: 60 }), (events, cut) => {
        const before = fold(initialState, frozen(events).slice(0, cut));
        const snapshot = JSON.parse(JSON.stringify(before)) as State;
        const rest = events.slice(cut);
        assert.deepEqual(fold(frozen(snapshot), rest), fold(before, rest));
      }),
    );
  });

  test("seq and versions are those of the last events", () => {
    fc.assert(
      fc.property(history, (events) => {
        const state = fold(initialState, events);
        assert.equal(state.seq, events.at(-1)?.seq ?? 0);
        for (const [stream, version] of Object.entries(state.versions)) {
          assert.equal(version, events.findLast((each) => each.stream === stream)?.version);
        }
      }),
    );
  });

  test("an event of a stream that nobody knows moves nothing but seq and version", () => {
    for (const type of eventTypes) {
      const makes = ["vm.created", "image.pull_requested", "image.found", "log.stream_archived"];
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
