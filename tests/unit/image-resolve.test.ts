/** From what is asked for to what is made: names, ids that follow from content, the kernel that goes with it. */
import assert from "node:assert/strict";
import { mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { initialState } from "../../src/core/projection.js";
import type { Home } from "../../src/home/handles.js";
import { ProxyBook } from "../../src/host/proxies.js";
import { registryAccess } from "../../src/images/registry-access.js";
import { fullReference, imageResolver, type PullRequest } from "../../src/images/resolve.js";
import { systemClock } from "../../src/lib/clock.js";
import { event } from "../../src/model/events.js";
import { given, imageId, withImage } from "../fixtures.js";
import { Pulls } from "../images/pulls.js";

const pulls = new Pulls();
const signal = new AbortController().signal;

function resolver() {
  const at = (name: string) => join(pulls.directory, name);
  const home: Home = { state: at("s"), data: at("d"), cache: at("c"), config: at("f"), runtime: at("r") };
  return imageResolver(
    registryAccess(home, [], {}, process.env["PATH"] ?? ""),
    new ProxyBook({}),
    systemClock,
  );
}
const pull = (request: PullRequest, state = initialState) => resolver().pull(state, request, signal);

test("a reference resolves to the manifest's digest; the image is called by its repository's last part", async () => {
  const ref = `${pulls.registry.host}/acme/my_dev:1`;
  const wanted = await pull({ ref });
  const { manifestDigest } = await pulls.pull({}, "acme/my_dev:1");
  assert.equal(wanted.imageId, `my-dev-${manifestDigest.slice("sha256:".length, "sha256:".length + 8)}`);
  assert.match(wanted.need?.imageId ?? "", /^kernel-debian-cloud-/);
  assert.deepEqual(wanted.source, {
    kind: "oci",
    reference: ref,
    digest: manifestDigest,
    sizeMiB: null,
    kernelId: wanted.need?.imageId,
  });
  const named = await pull({ ref, name: "mine", sizeMiB: 99 });
  assert.deepEqual([named.name, named.imageId.slice(0, 5)], ["mine", "mine-"]);
  assert.deepEqual(named.source.kind === "oci" && named.source.sizeMiB, 99);
});

test("an id stands for itself, and what it needs comes along", async () => {
  const kernel = { imageId: "kernel-k-00000001", name: "k", source: { kind: "catalog" } as const };
  const source = {
    kind: "oci",
    reference: "gone.example/x:1",
    digest: "sha256:0",
    sizeMiB: null,
    kernelId: kernel.imageId,
  } as const;
  const image = { imageId: "x-00000001", name: "x", source };
  const state = given(
    [kernel, image].map((data) => event(`image/${data.imageId}`, "image.pull_requested", data)),
  );
  assert.deepEqual(await pull({ ref: image.imageId }, state), { ...image, need: kernel });
  await assert.rejects(resolver().kernel(state, "k"), { code: "kernel_unknown" });
});

test("a kernel's name is what the catalog has now; its id, or a kernel of the user's own, is what is here", async () => {
  const old = { imageId: "kernel-generic-00000001", name: "generic", source: { kind: "catalog" } as const };
  const mine = { imageId: "kernel-mine-00000002", name: "mine" };
  const own = { ...mine, source: { kind: "directory", path: "/k" } as const };
  const state = given(
    [old, own].flatMap((data) => [
      event(`image/${data.imageId}`, "image.pull_requested", data),
      event(`image/${data.imageId}`, "image.ready", { sizeBytes: 1 }),
    ]),
  );
  const idOf = async (ref: string) => (await resolver().kernel(state, ref)).imageId;
  assert.notEqual(await idOf("generic"), old.imageId);
  assert.equal(await idOf(old.imageId), old.imageId);
  assert.equal(await idOf("mine"), own.imageId);
  const { need } = await pull({ ref: `${pulls.registry.host}/acme/dev:1`, kernel: "generic" }, state);
  assert.equal(need?.imageId, old.imageId, "an image is made with the kernel that is here");
});

test("bare names are the catalog's; the kernel of that prefix is no image's name", async () => {
  const { source, need } = await pull({ ref: "debian-slim" });
  assert.deepEqual([source, need], [{ kind: "catalog" }, undefined]);
  await assert.rejects(pull({ ref: "alpine" }), {
    code: "image_unknown",
    hint: /docker\.io\/library\/alpine/,
  });
  await assert.rejects(pull({ ref: "debian-slim", sizeMiB: 9 }), { code: "options_unfit" });
  await assert.rejects(pull({ ref: "x/y:1", name: "kernel-y" }), { code: "name_invalid" });
  await assert.rejects(pull({ ref: "x/y:1", kernel: "beos" }), { code: "kernel_unknown" });
  assert.equal(fullReference("alpine:3"), "docker.io/library/alpine:3");
  assert.equal(fullReference("alpine"), "alpine");
});

/** As much of an ext4 file system as registering looks at. */
function writeExt4(path: string): void {
  const bytes = Buffer.alloc(2048);
  bytes.writeUInt16LE(0xef53, 1024 + 0x38);
  writeFileSync(path, bytes);
}

test("what is no ext4 file system is refused before anything is made of it", async () => {
  const path = join(pulls.directory, "root fs.tar");
  const rootfs = join(pulls.directory, "root.ext4");
  writeExt4(rootfs);
  const said = { code: "file_unusable", message: `${path} is not an ext4 file system`, hint: /^file '/ };
  for (const content of ["", "a tar, so to speak", Buffer.alloc(4096)]) {
    writeFileSync(path, content);
    await assert.rejects(resolver().register(initialState, { name: "x", rootfs: path }), said);
    await assert.rejects(resolver().register(initialState, { name: "x", rootfs, workSeed: path }), said);
  }
});

test("a name of another tool's is understood, or refused with a way to a registry", async () => {
  assert.equal(fullReference("docker://alpine:3"), "docker.io/library/alpine:3");
  assert.equal(fullReference("docker:24-dind"), "docker.io/library/docker:24-dind");
  for (const ref of ["docker-archive:deb.tar", "containers-storage:alpine", "oci-archive:/x/y.tar:1"])
    assert.throws(() => fullReference(ref), { code: "reference_invalid", hint: /^skopeo copy / });
  await assert.rejects(pull({ ref: "debian-slm" }), {
    code: "image_unknown",
    hint: "banger image pull debian-slim",
  });
});

test("registered files give another id when one of them has changed", async () => {
  const rootfs = join(pulls.directory, "root.ext4");
  writeExt4(rootfs);
  const register = (more: object = {}) => resolver().register(initialState, { name: "own", rootfs, ...more });
  const first = await register();
  assert.match(first.need?.imageId ?? "", /^kernel-debian-cloud-/);
  assert.equal((await register()).imageId, first.imageId);
  const own = await register({ kernel: rootfs });
  assert.equal(own.need, undefined);
  const seeded = await register({ workSeed: rootfs });
  assert.notEqual(seeded.imageId, first.imageId);
  assert.equal(seeded.source.kind === "files" && seeded.source.workSeed, rootfs);
  utimesSync(rootfs, 1, 1);
  assert.notEqual((await register()).imageId, first.imageId);
  await assert.rejects(register({ modules: "/nowhere/at/all" }), { code: "file_unusable" });
});

test("only what is registered is promoted, and always to the same copy", async () => {
  const image = withImage.images[imageId];
  assert.ok(image);
  assert.throws(() => resolver().promote(image), { code: "image_managed" });
  const files = { kind: "files", rootfs: "/r", kernel: "/k", initrd: null, modules: null } as const;
  const registered = { ...image, source: { ...files, kernelId: null } };
  const { imageId: copy, source } = resolver().promote(registered);
  assert.deepEqual(source, { kind: "copy", imageId });
  assert.equal(resolver().promote(registered).imageId, copy);
});

test("a directory without what can be read is told of by its path", async () => {
  mkdirSync(join(pulls.directory, "empty"));
  const { source } = await resolver().kernelFrom("mine", join(pulls.directory, "empty"));
  assert.equal(source.kind, "directory");
  const path = join(pulls.directory, "none");
  await assert.rejects(resolver().kernelFrom("mine", path), {
    code: "file_unusable",
    message: new RegExp(path),
  });
});
