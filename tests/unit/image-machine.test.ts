/** The image's machine: every cell of its table, and what holds on every path through it. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { initialState } from "../../src/core/projection.js";
import { imageAfter, imageCan } from "../../src/machines/image.js";
import type { EventType } from "../../src/model/events.js";
import type { Image } from "../../src/model/model.js";
import { eventTypes, imageAfterTypes, sample, stored, t0 } from "../fixtures.js";

const ways: Readonly<Record<string, EventType[]>> = {
  building: [],
  ready: ["image.ready"],
  failed: ["image.build_failed"],
  deleting: ["image.delete_requested"],
  deleted: ["image.delete_requested", "image.deleted"],
};

/** Given the phase, when the event happens, then this is the new one; what is not here leaves the image as it is. */
const table: Readonly<Record<string, Partial<Record<EventType, string>>>> = {
  building: {
    "image.stage_reached": "building",
    "image.ready": "ready",
    "image.build_failed": "failed",
    "image.delete_requested": "deleting",
  },
  ready: { "image.damaged": "failed", "image.delete_requested": "deleting", "image.deleted": "deleted" },
  failed: {
    "image.ready": "ready",
    "image.pull_requested": "building",
    "image.delete_requested": "deleting",
    "image.deleted": "deleted",
  },
  deleting: { "image.deleted": "deleted" },
  deleted: { "image.pull_requested": "building", "image.found": "ready" },
};

const after = (image: Image, type: EventType, at = t0) =>
  imageAfter(image, stored(initialState, sample(type), at));

describe("given, when, then", () => {
  for (const [phase, types] of Object.entries(ways)) {
    test(phase, () => {
      const image = imageAfterTypes(...types);
      assert.equal(image.phase, phase);
      for (const type of eventTypes) {
        const to = table[phase]?.[type];
        assert.equal(imageCan(image, sample(type)), to !== undefined, type);
        if (to === undefined) assert.equal(after(image, type), image, `${type} changes nothing`);
        else assert.equal(after(image, type).phase, to, type);
      }
    });
  }
});

test("a build tells its stage, and afterwards its size or its error", () => {
  const built = imageAfterTypes("image.stage_reached");
  assert.equal(built.stage, "packages");
  assert.deepEqual([after(built, "image.ready").stage, after(built, "image.ready").sizeBytes], [null, 1000]);
  assert.equal(after(built, "image.build_failed").error?.code, "broken");
});

test("a new pull starts from nothing", () => {
  for (const phase of ["failed", "deleted"]) {
    const again = after(imageAfterTypes(...(ways[phase] as EventType[])), "image.pull_requested", t0 + 9);
    const { stage, error, sizeBytes, changedAt } = again;
    assert.deepEqual(
      { stage, error, sizeBytes, changedAt },
      {
        stage: null,
        error: null,
        sizeBytes: null,
        changedAt: t0 + 9,
      },
    );
  }
});

test("from every phase an image can be deleted, and a deleted one can be pulled again", () => {
  const leads = (phase: string): Set<string> => {
    const seen = new Set([phase]);
    for (const each of seen) for (const to of Object.values(table[each] ?? {})) seen.add(to);
    return seen;
  };
  for (const phase of Object.keys(table)) assert.deepEqual(leads(phase), new Set(Object.keys(table)), phase);
});
