/** Manifests, indexes and configurations as all sorts of tools write them: what is empty may be left out or be null. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { describe, test } from "node:test";
import { type Manifest, readConfig, readManifest } from "../../src/oci/manifest.js";
import { archives, Pulls } from "../images/pulls.js";
import { blobOf, imageOf, manifestType, send } from "../images/registry-double.js";

const dockerManifest = "application/vnd.docker.distribution.manifest.v2+json";
const indexType = "application/vnd.oci.image.index.v1+json";
const digest = (digit: string) => `sha256:${digit.repeat(64)}`;
const json = (value: unknown) => Buffer.from(JSON.stringify(value));
const layer = (mediaType?: string | null, more: object = {}) => ({
  ...(mediaType !== undefined && { mediaType }),
  ...{ digest: digest("1"), size: 5, ...more },
});
const config = { mediaType: "application/vnd.oci.image.config.v1+json", digest: digest("c"), size: 2 };
const manifestOf = (value: object, type = manifestType) =>
  readManifest(json({ schemaVersion: 2, config, ...value }), type, "it") as Manifest;

describe("a manifest", () => {
  test("may have no layers, as null, as nothing, or as an empty list", () => {
    for (const layers of [null, undefined, []]) assert.deepEqual(manifestOf({ layers }).layers, []);
  });

  test("is known by what it has where its type is empty, wrong or only in the answer's header", () => {
    for (const mediaType of [undefined, "", dockerManifest, manifestType])
      for (const header of [
        manifestType,
        dockerManifest,
        "application/json; charset=utf-8",
        "text/plain",
        "",
      ])
        assert.equal(manifestOf({ mediaType, layers: [layer("")] }, header).layers.length, 1);
  });

  test("has layers of all types that hold an archive, and none of another", () => {
    const oci = "application/vnd.oci.image.layer";
    const docker = "application/vnd.docker.image.rootfs";
    const types = [
      ...[
        undefined,
        null,
        "",
        `${oci}.v1.tar`,
        `${oci}.v1.tar+gzip`,
        `${oci}.v1.tar+zstd`,
        `${oci}.v1.tar+xz`,
      ],
      ...[`${oci}.nondistributable.v1.tar+gzip`, `${docker}.diff.tar`, `${docker}.diff.tar.gzip`],
      `${docker}.foreign.diff.tar.gzip`,
    ];
    const annotations = { a: "b" };
    for (const type of types)
      assert.equal(manifestOf({ layers: [layer(type, { annotations })] }).layers.length, 1);
    for (const type of [
      "application/vnd.in-toto+json",
      `${oci}Xv1.tar`,
      `${oci}.v1.tar+gzipped`,
      "text/plain",
    ])
      assert.throws(() => manifestOf({ layers: [layer(type)] }), { code: "image_unsupported" });
  });

  test("that could be an index as well is refused", () => {
    assert.throws(() => manifestOf({ layers: [layer()], manifests: [layer(manifestType)] }), {
      code: "image_malformed",
    });
  });
});

describe("an index", () => {
  const listed = (digit: string, platform?: unknown, more: object = {}) => ({
    ...{ mediaType: manifestType, digest: digest(digit), size: 5 },
    ...(platform !== undefined && { platform }),
    ...more,
  });
  const linux = (architecture: string, variant?: string) => ({ os: "linux", architecture, variant });
  const chosen = (...manifests: unknown[]) => {
    const read = readManifest(json({ schemaVersion: 2, manifests }), indexType, "it");
    assert.ok("digest" in read);
    return read.digest.slice(7, 8);
  };

  test("gives what runs on every amd64 before what wants more, and what names no platform last", () => {
    const attestation = listed("a", { os: "unknown", architecture: "unknown" });
    const annotated = listed("b", undefined, {
      annotations: { "vnd.docker.reference.type": "attestation-manifest" },
    });
    const artifact = listed("d", linux("amd64"), { artifactType: "application/spdx+json" });
    const noise = [attestation, annotated, artifact, listed("e", linux("arm64"))];
    assert.equal(chosen(...noise, listed("1", linux("amd64"))), "1");
    assert.equal(chosen(listed("3", linux("amd64", "v3")), listed("1", linux("amd64", "v1")), ...noise), "1");
    assert.equal(chosen(listed("3", linux("amd64", "v3")), ...noise), "3");
    assert.equal(chosen(listed("2"), listed("1", linux("amd64"))), "1");
    assert.equal(chosen(...noise, listed("2", null), listed("4")), "2");
    assert.equal(chosen(listed("5", { os: "Linux", architecture: "x86_64" })), "5");
    assert.equal(chosen(listed("6", linux("amd64"), { mediaType: null })), "6");
    assert.equal(chosen(listed("7", undefined, { mediaType: indexType }), ...noise), "7");
    assert.equal(chosen(listed("7", undefined, { mediaType: indexType }), listed("8")), "8");
  });

  test("that has nothing for this machine says what it has, attestations left out", () => {
    const arm = listed("1", linux("arm64"));
    const attestation = listed("2", { os: "unknown", architecture: "unknown" }, { annotations: null });
    const said = { code: "platform_missing", message: /but for: linux\/arm64, unknown\/unknown$/ };
    assert.throws(() => chosen(arm, attestation), said);
    const told = { annotations: { "vnd.docker.reference.type": "attestation-manifest" } };
    const without = { code: "platform_missing", message: /but for: linux\/arm64$/ };
    assert.throws(() => chosen(arm, { ...attestation, ...told }), without);
    for (const manifests of [null, []])
      assert.throws(() => readManifest(json({ manifests }), indexType, "it"), { code: "platform_missing" });
  });
});

describe("a configuration", () => {
  const read = (value: unknown) => readConfig(json(value), manifestOf({ layers: [layer()] }), "it");

  test("may leave out, or have as null or empty, all that it does not say", () => {
    const nothing = { env: [], entrypoint: [], cmd: [], workingDirectory: "", user: "", diffIds: [] };
    const empty = { Env: null, Cmd: null, Entrypoint: null, WorkingDir: null, User: null, Labels: null };
    for (const value of [
      ...[
        {},
        { config: null },
        { config: {} },
        { os: "", architecture: "" },
        { os: null, architecture: null },
      ],
      { config: empty, rootfs: null, history: null, container_config: null, created: null },
      { config: { ...empty, Volumes: null, ExposedPorts: null }, rootfs: { type: "layers", diff_ids: null } },
    ])
      assert.deepEqual(read(value), nothing, JSON.stringify(value));
  });

  test("gives words that stand without a list as one word", () => {
    const { cmd, entrypoint, env } = read({ config: { Cmd: "bash", Entrypoint: ["a", "b"], Env: ["A=1"] } });
    assert.deepEqual([cmd, entrypoint, env], [["bash"], ["a", "b"], ["A=1"]]);
  });

  test("is refused for another machine, or with another number of layers", () => {
    assert.ok(read({ os: "LINUX", architecture: "x86-64" }));
    for (const value of [{ os: "windows" }, { architecture: "arm64" }])
      assert.throws(() => read(value), { code: "platform_missing" });
    assert.throws(() => read({ rootfs: { diff_ids: [digest("1"), digest("2")] } }), {
      code: "image_malformed",
    });
  });
});

describe("a pull", () => {
  const pulls = new Pulls();

  test("goes through indexes in indexes, and ends where they lead round and round", async () => {
    const image = pulls.registry.manifest;
    const index = (bytes: Buffer, mediaType: string) =>
      json({
        schemaVersion: 2,
        mediaType: indexType,
        manifests: [{ mediaType, ...blobOf(bytes), bytes: undefined }],
      });
    const inner = index(image, manifestType);
    const outer = index(inner, indexType);
    const all = new Map([image, inner].map((bytes) => [blobOf(bytes).digest, bytes]));
    pulls.registry.manifest = outer;
    pulls.registry.misbehave = (request, response) => {
      const bytes = all.get(request.url?.split("/").at(-1) ?? "");
      if (bytes !== undefined) response.writeHead(200, { "content-type": "application/json" }).end(bytes);
      return bytes !== undefined;
    };
    const pulled = await pulls.pull();
    assert.equal(pulled.manifestDigest, blobOf(image).digest);
    let deep = outer;
    for (let i = 0; i < 5; i++) {
      all.set(blobOf(deep).digest, deep);
      deep = index(deep, indexType);
    }
    pulls.registry.manifest = deep;
    await assert.rejects(pulls.pull({}, "a/b:2"), { code: "image_malformed" });
  });

  test("takes a layer that the registry may not have from where the manifest says, without the login", async () => {
    const bytes = archives[0] as Buffer;
    const asked: unknown[] = [];
    const server = createServer((request, response) => {
      asked.push([request.url, request.headers.authorization]);
      send(bytes, request.headers.range, response);
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    const { manifest } = imageOf(pulls.registry.layers);
    const value = JSON.parse(manifest.toString()) as { layers: { mediaType: string; urls?: string[] }[] };
    const foreign = value.layers[0] as (typeof value.layers)[0];
    foreign.mediaType = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    const serve = (urls: string[]) => {
      foreign.urls = urls;
      pulls.registry.manifest = json(value);
    };
    pulls.registry.misbehave = pulls.forFirst((_, response) => void response.writeHead(404).end());
    serve([`http://127.0.0.1:${port}/layer`]);
    const pulled = await pulls.pull();
    assert.equal(pulled.layers.length, 3);
    assert.deepEqual(asked, [["/layer", undefined]]);
    serve(["file:///etc/passwd"]);
    await assert.rejects(pulls.pull({ cacheDirectory: `${pulls.directory}/other` }), {
      code: "registry_protocol",
    });
    server.close();
  });
});
