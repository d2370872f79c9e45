/** Images pushed to a real registry by others' tools are pulled, and unpack to the tree that umoci makes of them. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { systemClock } from "../../src/lib/clock.js";
import { writeRootfs } from "../../src/oci/layers.js";
import { type PullOptions, pullOci } from "../../src/oci/pull.js";
import { fsck, rootfsOptions, treeOf } from "../images/convert.js";
import type { Seen } from "../images/ext4-reader.js";
import { sampleLayers } from "../images/layer-samples.js";
import { listTree } from "../images/list-tree.js";
import { makeLayout, tool, umociUnpack } from "../images/oci-layout.js";
import { type RealRegistry, startRegistry } from "../images/real-registry.js";

const login = { user: "tester", password: "s3cret:with:colons" };
let directory: string;
let open: RealRegistry;
let closed: RealRegistry;

const pullOptions = (cache: string, more: Partial<PullOptions> = {}): PullOptions => ({
  cacheDirectory: `${directory}/${cache}`,
  environment: process.env,
  searchPath: process.env.PATH ?? "",
  clock: systemClock,
  signal: new AbortController().signal,
  delaysMs: [1],
  ...more,
});

const push = (target: string, ...options: string[]): Promise<string> =>
  tool("skopeo", [
    ...["copy", "-q", "--dest-tls-verify=false", ...options],
    ...[`oci:${directory}/layout:made`, `docker://${target}`],
  ]);

before(async () => {
  directory = await mkdtemp("/tmp/banger-oci-");
  await tool("mkdir", [`${directory}/open`, `${directory}/closed`]);
  open = await startRegistry(`${directory}/open`);
  closed = await startRegistry(`${directory}/closed`, login);
  await makeLayout(`${directory}/layout`, sampleLayers);
});

after(async () => {
  await open.stop();
  await closed.stop();
  await rm(directory, { recursive: true, force: true });
});

/** What is compared: an ACL has one form on the disk and another for programs. */
function comparable(tree: Map<string, Seen>): Record<string, Seen> {
  const made = [...tree].map(([path, seen]) => {
    const { "system.posix_acl_access": _, ...xattrs } = seen.xattrs;
    return [path, { ...seen, xattrs }] as const;
  });
  return Object.fromEntries(made.sort(([a], [b]) => (a < b ? -1 : 1)));
}

async function unpacked(reference: string, cache: string, more: Partial<PullOptions> = {}) {
  const { layers } = await pullOci(reference, pullOptions(cache, more));
  const path = `${directory}/${cache}.ext4`;
  await writeRootfs(layers, path, rootfsOptions());
  await fsck(path);
  return treeOf(path);
}

/** What `docker login` leaves. */
async function storedLogin(): Promise<string> {
  const auth = Buffer.from(`${login.user}:${login.password}`).toString("base64");
  const path = `${directory}/config.json`;
  await writeFile(path, JSON.stringify({ auths: { [closed.host]: { auth } } }));
  return path;
}

describe("images from a real registry", () => {
  test("unpack entry by entry to what umoci makes of them", async () => {
    await push(`${open.host}/acme/sample:1`);
    const ours = comparable(await unpacked(`${open.host}/acme/sample:1`, "oci"));
    const theirs = comparable(listTree(await umociUnpack(`${directory}/layout`, `${directory}/bundle`)));
    assert.deepEqual(Object.keys(ours), Object.keys(theirs));
    for (const [path, seen] of Object.entries(theirs)) assert.deepEqual(ours[path], seen, path);
    assert.ok(Object.keys(ours).length > 3000);
  });

  test("come in Docker's format and with zstd layers too", async () => {
    await push(`${open.host}/acme/docker:1`, "--format", "v2s2");
    await tool("skopeo", [
      ...["copy", "-q", "--dest-decompress"],
      ...[`oci:${directory}/layout:made`, `dir:${directory}/plain`],
    ]);
    await tool("skopeo", [
      ...["copy", "-q", "--dest-tls-verify=false", "--format", "oci", "--dest-compress"],
      ...["--dest-compress-format", "zstd", "--dest-creds", `${login.user}:${login.password}`],
      ...[`dir:${directory}/plain`, `docker://${closed.host}/acme/zstd:1`],
    ]);
    const authFile = await storedLogin();
    const { layers } = await pullOci(`${closed.host}/acme/zstd:1`, pullOptions("zstd", { authFile }));
    const magic = (await readFile(layers[0]?.path as string)).subarray(0, 4).toString("hex");
    assert.equal(magic, "28b52ffd");
    const docker = await unpacked(`${open.host}/acme/docker:1`, "docker");
    const zstd = await unpacked(`${closed.host}/acme/zstd:1`, "zstd", { authFile });
    assert.deepEqual(comparable(docker), comparable(zstd));
    assert.ok(docker.has("implied/parents/here"));
  });

  test("are chosen for linux/amd64 out of an index, and a digest needs no registry once they are here", async () => {
    await push(`${open.host}/acme/index:amd64`);
    const manifest = await tool("skopeo", [
      ...["inspect", "--raw", "--tls-verify=false", `docker://${open.host}/acme/index:amd64`],
    ]);
    const { manifestDigest } = await pullOci(`${open.host}/acme/index:amd64`, pullOptions("plain"));
    const mediaType = "application/vnd.oci.image.manifest.v1+json";
    const other = { mediaType, digest: `sha256:${"0".repeat(64)}`, size: 7 };
    const index = {
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.index.v1+json",
      manifests: [
        { ...other, platform: { os: "linux", architecture: "arm64" } },
        {
          mediaType,
          digest: manifestDigest,
          size: Buffer.byteLength(manifest),
          platform: { os: "linux", architecture: "amd64" },
        },
      ],
    };
    // The registry takes an index only when it has all that the index names.
    index.manifests.shift();
    const put = await fetch(`http://${open.host}/v2/acme/index/manifests/all`, {
      method: "PUT",
      headers: { "content-type": index.mediaType },
      body: JSON.stringify(index),
    });
    assert.equal(put.status, 201);
    const pulled = await pullOci(`${open.host}/acme/index:all`, pullOptions("index"));
    assert.equal(pulled.manifestDigest, manifestDigest);
    const nowhere = { registries: [{ host: open.host, mirror: "127.0.0.1:1" }] };
    const again = await pullOci(`127.0.0.1:1/acme/index@${manifestDigest}`, pullOptions("index", nowhere));
    assert.deepEqual(again.layers, pulled.layers);
  });

  test("come from a mirror, and from the registry itself when the mirror does not have them", async () => {
    await push(`${open.host}/acme/mirrored:1`);
    const mirrored = [{ host: "registry.invalid", mirror: open.host }];
    const pulled = await pullOci(
      "registry.invalid/acme/mirrored:1",
      pullOptions("m1", { registries: mirrored }),
    );
    assert.equal(pulled.layers.length, sampleLayers.length);
    const empty = [{ host: open.host, mirror: `http://${open.host}/nowhere` }];
    const direct = await pullOci(`${open.host}/acme/mirrored:1`, pullOptions("m2", { registries: empty }));
    assert.equal(direct.manifestDigest, pulled.manifestDigest);
  });

  test("behind a login come with the stored one, and are refused with a hint without it", async () => {
    await push(`${closed.host}/acme/secret:1`, "--dest-creds", `${login.user}:${login.password}`);
    const authFile = await storedLogin();
    const pulled = await pullOci(`${closed.host}/acme/secret:1`, pullOptions("secret", { authFile }));
    assert.equal(pulled.layers.length, sampleLayers.length);
    await assert.rejects(pullOci(`${closed.host}/acme/secret:1`, pullOptions("none")), {
      code: "registry_denied",
      hint: `docker login ${closed.host}`,
    });
    await writeFile(authFile, JSON.stringify({ auths: { [closed.host]: { auth: "dGVzdGVyOndyb25n" } } }));
    await assert.rejects(pullOci(`${closed.host}/acme/secret:1`, pullOptions("none", { authFile })), {
      code: "registry_denied",
    });
  });
});
