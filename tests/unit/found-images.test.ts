/** Images that lie in a home's place without its doing: homes may share their images. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { ImageDetails, ImagePullResult, ImageView } from "../../src/contract/images.js";
import { noticeImage } from "../../src/core/notice.js";
import { planFor } from "../../src/core/plan.js";
import { initialState } from "../../src/core/projection.js";
import { filesOf, inspectImage } from "../../src/images/manifest.js";
import { catalogIds } from "../../src/images/queries.js";
import { absentImage, absentVm } from "../../src/model/absent.js";
import { absentNetwork } from "../../src/model/host-network.js";
import type { Image, ImageOrigin, ImageSource, ObservedImage, State } from "../../src/model/model.js";
import { ask } from "../api-checks.js";
import { DaemonBench } from "../daemon-bench.js";
import { capabilities, given, imageAfterTypes, imageId, sample, t0 } from "../fixtures.js";
import { noImage } from "../sim/images.js";

const origin = { name: "debian-slim", source: { kind: "catalog" }, builtAt: 5 } as const;
const whole = { is: "present", sizeBytes: 1000, damage: null } as const;
const absent = { is: "absent" } as const;
const there: ObservedImage = { image: { ...whole, origin }, partial: absent };

function plan(state: State, seen: ObservedImage) {
  const images = new Map([[imageId, seen]]);
  const nothing = { unlistedVm: absentVm, unlistedImage: absentImage };
  const observed = { vms: new Map(), images, network: absentNetwork, ...nothing };
  return planFor(state, `image/${imageId}`, observed, capabilities, t0, true);
}
const learnt = (state: State, seen: ObservedImage): State => given(plan(state, seen)?.facts ?? [], t0, state);
const typesOf = (state: State, seen: ObservedImage) => plan(state, seen)?.facts.map(({ type }) => type);

describe("what a look tells", () => {
  const state = learnt(initialState, there);

  test("an image that lies there whole, and says what it is, is found once", () => {
    const { phase, name, createdAt, sizeBytes } = state.images[imageId] as Image;
    assert.deepEqual([phase, name, createdAt, sizeBytes], ["ready", "debian-slim", 5, 1000]);
    assert.deepEqual(typesOf(state, there), []);
    const unknown = { is: "unknown", cause: "it cannot be listed" } as const;
    for (const image of [absent, unknown, whole, { ...whole, origin, damage: "torn" }])
      assert.equal(plan(initialState, { ...there, image }), undefined, JSON.stringify(image));
  });

  test("one that another home deletes is gone, unless VMs here need it, and is found again", () => {
    for (const [users, type] of [
      [[], "image.deleted"],
      [[sample("vm.created")], "image.damaged"],
    ] as const) {
      const used = given(users, t0, state);
      assert.deepEqual(typesOf(used, absentImage), [type]);
      const gone = learnt(used, absentImage);
      assert.deepEqual(typesOf(gone, absentImage), [], "it is told once");
      assert.equal(learnt(gone, there).images[imageId]?.phase, "ready");
    }
    const torn = learnt(state, { ...there, image: { ...whole, damage: "torn" } });
    assert.equal(torn.images[imageId]?.phase, "failed");
    assert.deepEqual(typesOf(torn, absentImage), ["image.deleted"]);
    // What this home had made is missed.
    assert.equal(noticeImage(imageAfterTypes("image.ready"), absentImage)[0]?.type, "image.damaged");
  });

  test("one that was deleted here comes back when another home has it made", () => {
    const deleted = given([sample("image.delete_requested"), sample("image.deleted")], t0, state);
    assert.deepEqual(typesOf(deleted, there), ["image.found"]);
    assert.deepEqual(typesOf(deleted, absentImage), []);
  });
  test("an image whose kernel nobody knows any more does not wait for it", () => {
    const source = { kind: "copy", imageId: "gone-00000001" } as const;
    const [fact] = noticeImage({ ...imageAfterTypes(), source }, absentImage);
    assert.equal(fact?.type, "image.build_failed");
    assert.match((fact?.data as { message: string }).message, /^gone-00000001, .* not here$/);
  });
});

describe("what an image says of itself", () => {
  const top = mkdtempSync("/tmp/banger-found-");
  after(() => rmSync(top, { recursive: true }));
  const catalog = new Map([["debian-slim-00000001", "debian-slim"]]);

  function originOf(id: string, source?: ImageSource, name = id.slice(0, -9)): ImageOrigin | undefined {
    const directory = join(top, id);
    mkdirSync(directory, { recursive: true });
    for (const file of filesOf(id)) writeFileSync(join(directory, file), "x");
    const files = Object.fromEntries(filesOf(id).map((file) => [file, { bytes: 1 }]));
    const made = { schema: 1, name, source, kernelRelease: "6", bootArguments: "", sizeBytes: 3, files };
    writeFileSync(join(directory, "manifest.json"), JSON.stringify(made));
    const seen = inspectImage(directory, catalog);
    return seen.is === "present" ? seen.origin : undefined;
  }

  test("the catalog's names are for what it makes now, and other images say what they are made from", () => {
    const oci = { kind: "oci", reference: "r.example/web:1", digest: "sha256:1", sizeMiB: null } as const;
    const web = { ...oci, kernelId: "kernel-own-00000001" };
    const files = { rootfs: "/r", kernel: null, initrd: null, modules: null, kernelId: null } as const;
    assert.deepEqual(originOf("debian-slim-00000001")?.source, { kind: "catalog" }, "of an earlier version");
    assert.deepEqual(originOf("debian-slim-00000001", { kind: "catalog" })?.name, "debian-slim");
    assert.equal(originOf("debian-slim-00000002", { kind: "catalog" }), undefined, "of another catalog");
    assert.equal(originOf("debian-slim-00000003"), undefined, "of another catalog and an earlier version");
    assert.equal(originOf("debian-slim-00000004", web), undefined, "it has the name of the catalog's");
    assert.equal(originOf("web-00000005"), undefined, "it does not say what it is made from");
    for (const source of [
      web,
      { kind: "files", ...files },
      { kind: "copy", imageId: "x-00000001" },
    ] as const) {
      const found = originOf("web-00000006", source);
      assert.deepEqual([found?.name, found?.source], ["web", source]);
      assert.ok(Math.abs((found?.builtAt ?? 0) - Date.now()) < 60_000);
    }
  });

  test("the catalog makes images and kernels, each under its name", async () => {
    const made = await catalogIds();
    assert.ok([...made].some(([id, name]) => name === "debian-slim" && id.startsWith("debian-slim-")));
    assert.ok(
      [...made].some(([id, name]) => name === "debian-cloud" && id.startsWith("kernel-debian-cloud-")),
    );
  });
});

describe("a daemon", () => {
  const bench = new DaemonBench();
  const [first, other] = ["sim-0-00000000", "sim-1-00000001"];
  const elsewhere = (id: string, ready: boolean) =>
    Object.assign(bench.host.image(id), { ...noImage(), ready, elsewhere: ready });
  before(async () => {
    elsewhere(first, true);
    await bench.begin();
    await bench.start();
  });
  after(() => bench.close());

  test("shows what lay there from its first answer on, and what other homes make and delete later", async () => {
    const list = async () => (await ask<ImageView[]>(bench, "imageList")).map(({ id, phase }) => [id, phase]);
    assert.deepEqual(await list(), [[first, "ready"]]);
    assert.equal((await ask<ImageDetails>(bench, "imageShow", { ref: "sim-0" })).source, "catalog");
    elsewhere(other, true);
    const { seq } = await bench.event(`image/${other}`, "image.found");
    assert.deepEqual(await list(), [
      [first, "ready"],
      [other, "ready"],
    ]);
    elsewhere(other, false);
    await bench.event(`image/${other}`, "image.deleted", seq as number);
    assert.deepEqual(await list(), [[first, "ready"]]);
    const { after: asked } = await ask<ImagePullResult>(bench, "imageDelete", { ref: "sim-0" });
    await bench.event(`image/${first}`, "image.deleted", asked);
    assert.deepEqual(await list(), []);
  });
});
