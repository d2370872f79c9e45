/** Images that are made already: fetched, checked by digest, unpacked to nothing but their own files. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { toolRunner } from "../../src/host/run-tool.js";
import type { Bundle } from "../../src/images/catalog-schema.js";
import type { BuildContext } from "../../src/images/make/build-context.js";
import { makeFromBundle } from "../../src/images/make/bundle.js";
import { tool } from "../images/oci-layout.js";

const searchPath = process.env["PATH"] ?? "";
const contents = { "rootfs.ext4": "root", vmlinux: "kernel", "modules.cpio": "modules" };
let directory: string;
let server: Server;
let url: string;
let asked: (string | undefined)[];
let archive: Buffer;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "banger-bundle-"));
  asked = [];
  server = createServer((request, response) => {
    asked.push(request.url);
    response.end(archive);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/x.tar.zst`;
});
afterEach(() => {
  server.close();
  server.closeAllConnections();
  rmSync(directory, { recursive: true });
});

/** A bundle as catalog/maintain.sh makes it, its directory changed before by `change`. */
async function bundled(
  change: (files: string) => void = () => {},
  more: Record<string, string> = {},
): Promise<Bundle> {
  const files = join(directory, "files");
  mkdirSync(files);
  for (const [name, content] of Object.entries({ ...contents, ...more }))
    writeFileSync(join(files, name), content);
  const manifest = {
    ...{ schema: 1, name: "x", suite: "sid", kernelRelease: "6", bootArguments: "quiet", sizeBytes: 9 },
    files: Object.fromEntries(
      Object.entries({ ...contents, ...more }).map(([name, { length }]) => [name, { bytes: length }]),
    ),
  };
  writeFileSync(join(files, "manifest.json"), JSON.stringify(manifest));
  writeFileSync(join(files, "stowaway"), "not part of an image");
  change(files);
  const path = join(directory, "x.tar.zst");
  await tool("tar", ["-c", "--zstd", "-f", path, "-C", files, ...readdirSync(files)]);
  archive = readFileSync(path);
  return { url, sha256: createHash("sha256").update(archive).digest("hex"), bytes: archive.length };
}

function make(bundle: Bundle) {
  const partial = join(directory, "x-00000001.partial");
  mkdirSync(partial, { recursive: true });
  const job = {
    ...{
      imageId: "x-00000001",
      name: "x",
      source: { kind: "catalog" as const },
      directory: "",
      partial,
      need: null,
    },
    ...{ mirror: null, searchPath, proxies: {}, state: "/state" },
    registry: { cacheDirectory: join(directory, "cache"), environment: {}, searchPath, registries: [] },
  } as const;
  const build: BuildContext = {
    job,
    runTool: toolRunner(searchPath),
    environment: {},
    signal: new AbortController().signal,
    stage: () => {},
    now: () => 0,
  };
  return { partial, made: makeFromBundle(build, bundle) };
}

test("a bundle gives the files of an image and nothing else, and is fetched once", async () => {
  const bundle = await bundled();
  const { partial, made } = make(bundle);
  assert.deepEqual(await made, { suite: "sid", kernelRelease: "6", bootArguments: "quiet" });
  assert.deepEqual(readdirSync(partial).sort(), Object.keys(contents).sort());
  await make(bundle).made;
  assert.equal(asked.length, 1);
});

test("a bundle brings the seed of /root where its manifest has one", async () => {
  const seed = { "work-seed.ext4": "seed" };
  const { partial, made } = make(await bundled(() => {}, seed));
  await made;
  assert.deepEqual(readdirSync(partial).sort(), Object.keys({ ...contents, ...seed }).sort());
  rmSync(join(directory, "files"), { recursive: true });
  const without = await bundled((files) => rmSync(join(files, "work-seed.ext4")), seed);
  await assert.rejects(make(without).made, { code: "tool_failed" });
});

test("a bundle that is not what the catalog names is refused", async () => {
  const bundle = await bundled();
  archive[20] = (archive[20] as number) ^ 1;
  await assert.rejects(make(bundle).made, { code: "blob_corrupt" });
});

test("a bundle whose files are no files, or not of their size, is refused", async () => {
  const linked = await bundled((files) => {
    rmSync(join(files, "vmlinux"));
    symlinkSync("/etc/passwd", join(files, "vmlinux"));
  });
  await assert.rejects(make(linked).made, { code: "bundle_invalid" });
  rmSync(join(directory, "files"), { recursive: true });
  const longer = await bundled((files) => writeFileSync(join(files, "vmlinux"), "another kernel"));
  await assert.rejects(make(longer).made, { code: "image_corrupt" });
});
