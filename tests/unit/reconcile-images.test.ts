/** Images: one goes only when it is being deleted or is torn, and every fact and effect rests on what was seen. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { noticeImage } from "../../src/core/notice.js";
import { initialState } from "../../src/core/projection.js";
import { imageAfter, imageCan } from "../../src/machines/image.js";
import type { NewEvent } from "../../src/model/events.js";
import { needOf } from "../../src/model/fits.js";
import type { ObservedImage } from "../../src/model/model.js";
import { reconcileImage } from "../../src/reconcilers/index.js";
import { imageAfterTypes, imageId, stored } from "../fixtures.js";
import { absent, seenAs, unknown } from "../observations.js";
import { reached } from "../reached.js";

describe("images", () => {
  const anySeenImage: fc.Arbitrary<ObservedImage> = fc.record({
    image: seenAs(fc.record({ sizeBytes: fc.constant(1000), damage: fc.constantFrom(null, "torn") })),
    partial: seenAs(fc.record({ building: fc.boolean() })),
  });
  const damage = { code: "image_damaged", message: "torn", retry: "never" } as const;
  const anyImage = fc.constantFrom(
    imageAfterTypes(),
    imageAfterTypes("image.ready"),
    imageAfterTypes("image.build_failed"),
    { ...imageAfterTypes("image.ready", "image.damaged"), error: damage },
    { ...imageAfterTypes("image.ready", "image.damaged", "image.delete_requested"), error: damage },
    imageAfterTypes("image.delete_requested"),
    imageAfterTypes("image.delete_requested", "image.deleted"),
  );

  test("an image goes only when it is being deleted or is torn, and every effect rests on what was seen", (t) => {
    const effects = { ensureNoImage: 30, ensureImage: 30, ensureNoPartialImage: 30 };
    const facts = { "image.ready": 30, "image.damaged": 15, "image.deleted": 10 };
    const hit = reached(t, { ...effects, ...facts });
    fc.assert(
      fc.property(anyImage, anySeenImage, (image, seen) => {
        for (const { kind } of reconcileImage(image, seen)) {
          const torn = seen.image.is === "present" && seen.image.damage !== null;
          if (kind === "ensureNoImage")
            assert.deepEqual([image.phase, seen.image.is], [torn ? image.phase : "deleting", "present"]);
          else if (kind === "ensureImage")
            assert.deepEqual([image.phase, seen.image.is], ["building", "absent"]);
          else assert.deepEqual([kind, seen.partial.is], ["ensureNoPartialImage", "present"]);
          hit(kind as keyof typeof effects);
        }
        for (const fact of noticeImage(image, seen)) {
          assert.ok(imageCan(image, fact), fact.type);
          const whole = seen.image.is === "present" && seen.image.damage === null;
          assert.equal(fact.type === "image.ready", whole);
          if (fact.type === "image.deleted") assert.deepEqual([seen.image, seen.partial], [absent, absent]);
          hit(fact.type as keyof typeof facts);
        }
        const blind = { image: unknown, partial: unknown };
        assert.deepEqual([reconcileImage(image, blind), noticeImage(image, blind)], [[], []]);
      }),
      { numRuns: 1000 },
    );
  });

  test("a ready image that is gone or torn is damaged, and ready again when its files are back", () => {
    const whole: ObservedImage = {
      image: { is: "present", sizeBytes: 1000, damage: null },
      partial: absent,
    };
    const torn: ObservedImage = { ...whole, image: { is: "present", sizeBytes: 0, damage: "torn" } };
    const ready = imageAfterTypes("image.ready");
    assert.deepEqual(noticeImage(ready, whole), []);
    for (const seen of [torn, { ...whole, image: absent }]) {
      const [fact] = noticeImage(ready, seen);
      assert.equal(fact?.type, "image.damaged");
      const failed = imageAfter(ready, stored(initialState, fact as NewEvent));
      assert.equal(failed.phase, "failed");
      assert.deepEqual(noticeImage(failed, seen), []);
      const back = noticeImage(failed, whole).map((each) => imageAfter(failed, stored(initialState, each)));
      assert.deepEqual([back[0]?.phase, back[0]?.error], ["ready", null]);
    }
    const [built] = noticeImage(imageAfterTypes("image.build_failed"), whole);
    assert.equal(built?.type, "image.ready", "another home had it made meanwhile");
  });

  test("what is left of a build goes when its image is not being built", () => {
    const seen: ObservedImage = { image: absent, partial: { is: "present", building: true } };
    const ends = [["image.ready"], ["image.build_failed"], ["image.delete_requested"]] as const;
    for (const types of ends)
      assert.deepEqual(reconcileImage(imageAfterTypes(...types), seen), [
        { kind: "ensureNoPartialImage", imageId },
      ]);
  });

  test("an image waits for the kernel that it needs, and fails with it", () => {
    const seen: ObservedImage = { image: absent, partial: absent };
    const source = { kind: "copy", imageId } as const;
    const image = { ...imageAfterTypes(), id: "copy-00000001", source };
    assert.equal(needOf(source), imageId);
    const building = imageAfterTypes();
    assert.deepEqual(
      [reconcileImage(image, seen, building), noticeImage(image, seen, { need: building, used: false })],
      [[], []],
    );
    const [effect] = reconcileImage(image, seen, imageAfterTypes("image.ready"));
    assert.equal(effect?.kind, "ensureImage");
    for (const types of [["image.build_failed"], ["image.delete_requested"]] as const) {
      const need = imageAfterTypes(...types);
      assert.deepEqual(reconcileImage(image, seen, need), []);
      const [fact] = noticeImage(image, seen, { need, used: false });
      assert.equal(fact?.type, "image.build_failed");
    }
  });

  test("a build at work is not removed while its image is wanted", () => {
    const seen: ObservedImage = { image: absent, partial: { is: "present", building: true } };
    assert.deepEqual(
      reconcileImage(imageAfterTypes(), seen).map(({ kind }) => kind),
      ["ensureImage"],
    );
  });
});
