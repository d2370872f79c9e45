/** The API's routes of images and kernels, on the simulated host: made, shown, refused, deleted. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { RouteName } from "../../src/client/client.js";
import {
  type CachePruneResult,
  type ImageDetails,
  type ImagePullResult,
  type ImageView,
  imageRoutes,
} from "../../src/contract/images.js";
import { homeHandles, imageHandles } from "../../src/home/handles.js";
import { filesOf, manifestFile } from "../../src/images/manifest.js";
import { ask, askWrong, type Parts } from "../api-checks.js";
import { DaemonBench } from "../daemon-bench.js";

const exercised = new Set<string>();
let bench: DaemonBench;

before(async () => {
  bench = await DaemonBench.open();
  await bench.start();
  await bench.pullImage();
});
after(() => bench.close());

const ok = <T>(name: RouteName, parts: Parts = {}): Promise<T> => {
  exercised.add(name);
  return ask<T>(bench, name, parts);
};
const refused = (name: RouteName, status: number, parts: Parts = {}) => askWrong(bench, name, status, parts);
const ready = ({ image, after: seq }: ImagePullResult) =>
  bench.event(`image/${image.id}`, "image.ready", seq);

/** A file of the test's own. */
function file(name: string, content: string | Buffer = name): string {
  const path = join(bench.directory, name);
  writeFileSync(path, content);
  return path;
}

test("an image that is here is not pulled again, and what nobody knows is not pulled at all", async () => {
  const [image] = await ok<ImageView[]>("imageList");
  assert.deepEqual([image?.name, image?.phase, image?.source], ["debian-slim", "ready", "catalog"]);
  assert.equal((await ok<ImagePullResult>("imagePull", { body: { ref: "debian-slim" } })).already, true);
  assert.equal(await refused("imagePull", 404, { body: { ref: "nothing" } }), "image_unknown");
  assert.equal(await refused("imageShow", 404, { ref: "nothing" }), "image_not_found");
});

test("the catalog says what can be made and what is here", async () => {
  const images = await ok<{ name: string; here: boolean }[]>("imageAvailable");
  assert.ok(images.some(({ name, here }) => name === "debian-slim" && !here));
  const kernels = await ok<{ name: string; id: string }[]>("kernelAvailable");
  assert.match(
    kernels.find(({ name }) => name === "debian-cloud")?.id ?? "",
    /^kernel-debian-cloud-[0-9a-f]{8}$/,
  );
});

test("an image that a VM uses is not deleted, and the VM is named", async () => {
  await bench.ask("POST", "/v1/vms", { commandId: "command-user", name: "user", spec: {}, start: false });
  assert.deepEqual((await ok<ImageDetails>("imageShow", { ref: "debian-slim" })).users, ["user"]);
  const { status, json } = await bench.ask("DELETE", "/v1/images/debian-slim");
  assert.equal(status, 409);
  assert.match(JSON.stringify(json), /"image_in_use".* user.*banger vm delete user/);
});

test("kernels are made, shown and deleted like images, and kept apart from them", async () => {
  const pulled = await ok<ImagePullResult>("kernelPull", { body: { ref: "debian-cloud" } });
  await ready(pulled);
  const list = await ok<ImageView[]>("kernelList");
  assert.deepEqual(
    list.map(({ name, phase }) => [name, phase]),
    [["debian-cloud", "ready"]],
  );
  assert.equal((await ok<ImageView[]>("imageList")).length, 1);
  assert.equal((await ok<ImageDetails>("kernelShow", { ref: "debian-cloud" })).id, pulled.image.id);
  assert.equal(await refused("imageShow", 404, { ref: "debian-cloud" }), "image_not_found");
  const { after: seq } = await ok<ImagePullResult>("kernelDelete", { ref: "debian-cloud" });
  await bench.event(`image/${pulled.image.id}`, "image.deleted", seq);
  assert.deepEqual(await ok<ImageView[]>("kernelList"), []);
  assert.equal(await refused("kernelPull", 404, { body: { ref: "beos" } }), "kernel_unknown");
});

test("a kernel of a directory is another one when its files are others", async () => {
  const from = join(bench.directory, "linux");
  mkdirSync(from);
  file("linux/vmlinux");
  const body = { name: "mine", from };
  const first = await ok<ImagePullResult>("kernelImport", { body });
  assert.equal((await ok<ImagePullResult>("kernelImport", { body })).image.id, first.image.id);
  file("linux/vmlinux", "longer than it was");
  const second = await ok<ImagePullResult>("kernelImport", { body });
  assert.notEqual(second.image.id, first.image.id);
  const missing = { name: "mine", from: "/nowhere/at/all" };
  assert.equal(await refused("kernelImport", 422, { body: missing }), "file_unusable");
});

test("files are registered with their kernel, and promoted to a copy that has their name", async () => {
  const superblock = Buffer.alloc(2048);
  superblock.writeUInt16LE(0xef53, 1024 + 0x38);
  const rootfs = file("root.ext4", superblock);
  const body = { name: "own", rootfs, kernel: file("vmlinux") };
  const registered = await ok<ImagePullResult>("imageRegister", { body });
  await ready(registered);
  assert.equal(registered.image.source, `files: ${body.rootfs}`);
  const promoted = await ok<ImagePullResult>("imagePromote", { ref: "own" });
  await ready(promoted);
  assert.equal((await ok<ImageDetails>("imageShow", { ref: "own" })).id, promoted.image.id);
  assert.equal(await refused("imagePromote", 409, { ref: "own" }), "image_managed");
  const { after: seq } = await ok<ImagePullResult>("imageDelete", { ref: registered.image.id });
  await bench.event(`image/${registered.image.id}`, "image.deleted", seq);
  const nameless = { ...body, name: "kernel-like" };
  assert.equal(await refused("imageRegister", 400, { body: nameless }), "name_invalid");
});

test("what another home has made lies here: it is told as that, and as whole only where it is", async () => {
  const kernels = await ok<{ name: string; id: string; here: boolean }[]>("kernelAvailable");
  const { id = "" } = kernels.find(({ name }) => name === "debian-cloud") ?? {};
  const { directory } = imageHandles(bench.home, id);
  mkdirSync(directory, { recursive: true });
  const files = Object.fromEntries(filesOf(id).map((name) => [name, { bytes: 1 }]));
  const manifest = {
    schema: 1,
    name: "debian-cloud",
    kernelRelease: "6",
    bootArguments: "",
    sizeBytes: 3,
    files,
  };
  writeFileSync(join(directory, manifestFile), JSON.stringify(manifest));
  for (const name of filesOf(id).slice(1)) writeFileSync(join(directory, name), "x");
  const here = async () => (await ok<typeof kernels>("kernelAvailable")).find((each) => each.id === id)?.here;
  assert.equal(await here(), false, "a file of it is not there");
  writeFileSync(join(directory, filesOf(id)[0] ?? ""), "x");
  assert.equal(await here(), true);
  const pulled = await ok<ImagePullResult>("kernelPull", { body: { ref: "debian-cloud" } });
  assert.deepEqual([pulled.already, pulled.here], [false, true]);
  await ready(pulled);
});

test("the cache is emptied whole, and first only told of", async () => {
  const { ociCache } = homeHandles(bench.home);
  mkdirSync(join(ociCache, "blobs/sha256"), { recursive: true });
  writeFileSync(join(ociCache, "blobs/sha256/0a"), "12345");
  const prune = (dryRun: boolean) => ok<CachePruneResult>("imageCachePrune", { body: { dryRun } });
  assert.deepEqual(await prune(true), { blobs: 1, bytes: 5 });
  assert.deepEqual(await prune(false), { blobs: 1, bytes: 5 });
  assert.deepEqual([readdirSync(ociCache), existsSync(`${ociCache}.removed`)], [[], false]);
  assert.deepEqual(await prune(true), { blobs: 0, bytes: 0 });
});

test("every route was asked and answered as its schema says", () => {
  assert.deepEqual([...exercised].sort(), Object.keys(imageRoutes).sort());
});
