/** Commands about images and kernels: what they append, and what they are refused for. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Command, decide, type PullCommand } from "../../src/core/decide.js";
import { findImage, findKernel } from "../../src/core/refs.js";
import { event, type NewEvent } from "../../src/model/events.js";
import type { State } from "../../src/model/model.js";
import {
  given,
  imageId,
  sample,
  sampleData,
  timeouts,
  vmAfterTypes,
  vmId,
  ways,
  withImage,
} from "../fixtures.js";

const decided = (state: State, command: Command) => decide(state, command, timeouts);
const typesOf = (events: readonly NewEvent[]) => events.map(({ type }) => type);

describe("images", () => {
  const source = { kind: "catalog" } as const;
  const pull = { kind: "pullImage", imageId, name: "debian-slim", source } as const;

  test("what is there or under way is not pulled again; what failed or was deleted is", () => {
    const asked = given([sample("image.pull_requested")]);
    assert.deepEqual(typesOf(decided(given([]), pull)), ["image.pull_requested"]);
    assert.deepEqual(decided(asked, pull), []);
    assert.deepEqual(decided(withImage, pull), []);
    for (const more of [["image.build_failed"], ["image.delete_requested", "image.deleted"]] as const) {
      assert.deepEqual(typesOf(decided(given(more.map(sample), 0, asked), pull)), ["image.pull_requested"]);
    }
    const deleting = given([sample("image.delete_requested")], 0, withImage);
    assert.throws(() => decided(deleting, pull), { code: "not_now" });
  });

  test("a damaged image is built anew only when no disks are based on it", () => {
    const fact = event(`image/${imageId}`, "image.damaged", {
      code: "image_damaged",
      message: "torn",
      retry: "never",
    });
    const torn = given([fact], 0, withImage);
    assert.deepEqual(typesOf(decided(torn, pull)), ["image.pull_requested"]);
    const unused = { ...torn, vms: { [vmId]: vmAfterTypes() } };
    assert.deepEqual(typesOf(decided(unused, pull)), ["image.pull_requested"]);
    const used = { ...torn, vms: { [vmId]: vmAfterTypes(...(ways["running"] ?? [])) } };
    assert.throws(() => decided(used, pull), { code: "image_in_use", hint: /banger vm delete ann/ });
  });

  const kernelId = "kernel-cloud-00000001";
  const oci = (digest: string, sizeMiB: number | null = null): PullCommand => ({
    kind: "pullImage",
    imageId: "dev-0000000a",
    name: "dev",
    source: { kind: "oci", reference: "registry.example/dev:1", digest, sizeMiB, kernelId },
    need: { imageId: kernelId, name: "cloud", source },
  });

  test("what an image needs is asked for with it, once", () => {
    const events = decided(given([]), oci("sha256:a"));
    assert.deepEqual(
      events.map(({ stream }) => stream),
      [`image/${kernelId}`, "image/dev-0000000a"],
    );
    assert.deepEqual(decided(given(events), oci("sha256:a")), []);
    assert.throws(() => decided(given(events), oci("sha256:a", 99)), { code: "image_differs" });
    assert.equal(findImage(given(events), "registry.example/dev:1")?.id, "dev-0000000a");
    assert.deepEqual(
      [findImage(given(events), "cloud"), findKernel(given(events), "cloud")?.id],
      [undefined, kernelId],
    );
  });

  test("an image goes unless a VM uses it, or another one is being built with it", () => {
    const drop = { kind: "deleteImage", imageId } as const;
    assert.deepEqual(typesOf(decided(withImage, drop)), ["image.delete_requested"]);
    const used = { ...withImage, vms: { [vmId]: vmAfterTypes() } };
    assert.throws(() => decided(used, drop), { code: "image_in_use", message: /ann/ });
    const gone = { ...withImage, vms: { [vmId]: vmAfterTypes("vm.delete_requested", "vm.deleted") } };
    assert.deepEqual(typesOf(decided(gone, drop)), ["image.delete_requested"]);
    assert.deepEqual(decided(given([sample("image.delete_requested")], 0, withImage), drop), []);
    assert.throws(() => decided(given([]), drop), { code: "image_not_found" });
    const making = given(decided(given([]), oci("sha256:a")));
    assert.throws(() => decided(making, { ...drop, imageId: kernelId }), {
      code: "image_in_use",
      message: /dev/,
    });
  });

  test("a name means its newest ready image, else its newest one", () => {
    const newer = "debian-slim-00000002";
    const asked = event(`image/${newer}`, "image.pull_requested", {
      imageId: newer,
      name: "debian-slim",
      source,
    });
    const state = given([asked], Number.MAX_SAFE_INTEGER, withImage);
    assert.equal(findImage(state, "debian-slim")?.id, imageId);
    assert.equal(findImage(state, newer)?.id, newer);
    const ready = given([event(`image/${newer}`, "image.ready", sampleData["image.ready"])], 0, state);
    assert.equal(findImage(ready, "debian-slim")?.id, newer);
    assert.equal(findImage(state, "nothing"), undefined);
  });
});
