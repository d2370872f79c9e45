/** Pulls against a registry that lies, stalls, cuts off and denies; and pulls that are killed. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { archives, Pulls } from "../images/pulls.js";
import { blobOf, manifestType, type RegistryDouble, send } from "../images/registry-double.js";

const pulls = new Pulls();

describe("what a registry sends", () => {
  test("is in the cache under its digest, once, and not asked for again", async () => {
    const pulled = await pulls.pull();
    for (const [index, layer] of pulled.layers.entries())
      assert.deepEqual(readFileSync(layer.path), archives[index]);
    pulls.registry.asked.length = 0;
    await pulls.pull();
    assert.deepEqual(pulls.registry.asked, ["/v2/a/b/manifests/1"]);
    assert.deepEqual(pulls.stray(), []);
  });

  test("is resumed where it was cut off", async () => {
    let cuts = 0;
    pulls.registry.misbehave = pulls.forFirst((bytes, response, range) => {
      if (cuts++ > 0) return send(bytes, range, response);
      response.writeHead(200, { "content-length": bytes.length });
      response.write(bytes.subarray(0, 200_000), () => response.destroy());
    });
    await pulls.pull();
    const ranges = pulls.registry.asked.filter((path) => path.includes(`${pulls.first()} bytes=`));
    assert.equal(ranges.length, 1);
    assert.deepEqual(
      readFileSync(`${pulls.directory}/cache/blobs/sha256/${pulls.first().slice(7)}`),
      archives[0],
    );
  });

  test("is taken from the start by servers that know no ranges", async () => {
    let cuts = 0;
    pulls.registry.misbehave = pulls.forFirst((bytes, response) => {
      response.writeHead(200, { "content-length": bytes.length });
      if (cuts++ > 0) response.end(bytes);
      else response.write(bytes.subarray(0, 100_000), () => response.destroy());
    });
    await pulls.pull();
    assert.deepEqual(pulls.stray(), []);
  });

  const lies: [string, string, RegistryDouble["misbehave"]][] = [
    [
      "with a flipped bit",
      "blob_corrupt",
      pulls.forFirst((bytes, response) => {
        const flipped = Buffer.from(bytes);
        flipped.writeUInt8((flipped[1000] as number) ^ 4, 1000);
        send(flipped, undefined, response);
      }),
    ],
    [
      "of another length than announced",
      "blob_corrupt",
      pulls.forFirst((bytes, response) => send(Buffer.concat([bytes, bytes]), undefined, response)),
    ],
    [
      "that ends early, again and again",
      "blob_truncated",
      pulls.forFirst((bytes, response) => {
        response.writeHead(200);
        response.end(bytes.subarray(0, 1000));
      }),
    ],
    [
      "that never ends",
      "blob_corrupt",
      pulls.forFirst((_, response) => {
        response.writeHead(200);
        const more = (): void => {
          if (!response.destroyed) response.write(Buffer.alloc(65536), more);
        };
        more();
      }),
    ],
    [
      "with a range that was not asked for",
      "registry_failed",
      pulls.forFirst((bytes, response) => {
        response.writeHead(206, { "content-range": `bytes 7-${bytes.length - 1}/${bytes.length}` });
        response.end(bytes.subarray(7));
      }),
    ],
    [
      "by sending on without end",
      "registry_protocol",
      pulls.forFirst((_, response) => {
        response.writeHead(307, { location: `/v2/a/b/blobs/${pulls.first()}` }).end();
      }),
    ],
  ];
  for (const [how, code, misbehave] of lies)
    test(`is refused ${how}`, async () => {
      pulls.registry.misbehave = misbehave;
      await assert.rejects(pulls.pull(), { code });
      pulls.registry.misbehave = () => false;
      await pulls.pull();
      assert.deepEqual(pulls.stray(), []);
    });

  test("as a manifest is refused when endless, torn, of the wrong kind or for another machine", async () => {
    pulls.registry.misbehave = (request, response) => {
      if (!request.url?.includes("/manifests/")) return false;
      response.writeHead(200, { "content-type": manifestType });
      const more = (): void => {
        if (!response.destroyed) response.write(Buffer.alloc(65536, " "), more);
      };
      more();
      return true;
    };
    await assert.rejects(pulls.pull(), { code: "registry_protocol" });
    pulls.registry.misbehave = () => false;
    const manifests: [string, unknown][] = [
      ["image_malformed", "[]"],
      ["image_malformed", { schemaVersion: 2, layers: [] }],
      [
        "image_malformed",
        {
          ...JSON.parse(pulls.registry.manifest.toString()),
          layers: [{ mediaType: "x", digest: "sha256:../../x", size: 1 }],
        },
      ],
      [
        "image_unsupported",
        {
          ...JSON.parse(pulls.registry.manifest.toString()),
          layers: [{ mediaType: "x", digest: pulls.first(), size: 1 }],
        },
      ],
      ["image_unsupported", { schemaVersion: 1, fsLayers: [] }],
      [
        "platform_missing",
        {
          mediaType: "application/vnd.oci.image.index.v1+json",
          manifests: [
            {
              mediaType: manifestType,
              digest: pulls.first(),
              size: 1,
              platform: { os: "linux", architecture: "arm64" },
            },
          ],
        },
      ],
    ];
    for (const [code, manifest] of manifests) {
      pulls.registry.manifest = Buffer.from(
        typeof manifest === "string" ? manifest : JSON.stringify(manifest),
      );
      await assert.rejects(pulls.pull(), { code }, JSON.stringify(manifest));
    }
  });

  test("under a digest is refused when it is something else", async () => {
    const digest = blobOf(Buffer.from("something else")).digest;
    await assert.rejects(pulls.pull({}, `a/b@${digest}`), { code: "blob_corrupt" });
  });
});
