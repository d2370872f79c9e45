/** Malformed archives and manifests by the hundred: refused by name, or unpacked soundly, and never anywhere else. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { BangerError } from "../../src/lib/errors.js";
import { writeRootfs } from "../../src/oci/layers.js";
import {
  type Descriptor,
  type ImageConfig,
  type Manifest,
  readConfig,
  readManifest,
} from "../../src/oci/manifest.js";
import { fsck, layerFiles, rootfsOptions, treeOf } from "../images/convert.js";
import { blobOf, imageOf, manifestType } from "../images/registry-double.js";
import { type MadeEntry, seal, tarEntry } from "../images/tar-maker.js";
import { reached } from "../reached.js";

const numRuns = Number(process.env.FUZZ_CASES ?? 200);
let directory: string;

before(async () => {
  directory = await mkdtemp("/tmp/banger-fuzz-");
});

after(() => rm(directory, { recursive: true, force: true }));

const part = fc.constantFrom(
  "a",
  "b",
  "c",
  "lib",
  ".",
  "..",
  "",
  ".wh.a",
  ".wh.b",
  ".wh..wh..opq",
  "\xff\xfe",
  "lost+found",
);
const path = fc.array(part, { maxLength: 4 }).map((parts) => parts.join("/"));
const anyPath = fc.oneof({ weight: 9, arbitrary: path }, fc.string({ unit: "binary-ascii", maxLength: 300 }));
const number = fc.oneof(fc.nat(8_000_000), fc.maxSafeNat());
const paxKey = fc.constantFrom(
  ...[
    "path",
    "linkpath",
    "size",
    "uid",
    "mtime",
    "SCHILY.xattr.user.a",
    "SCHILY.xattr.system.posix_acl_access",
  ],
  ...["GNU.sparse.map", "GNU.sparse.size", "GNU.sparse.major", "GNU.sparse.realsize", "GNU.sparse.offset"],
);
const paxValue = fc.oneof(
  fc.string({ unit: "binary-ascii", maxLength: 40 }),
  number.map(String),
  fc.constant("0,4,8,4"),
  path,
);
const hostile: fc.Arbitrary<MadeEntry> = fc.record(
  {
    name: anyPath,
    type: fc.constantFrom(..."0000001122222345555556SxgLKV7Z"),
    link: anyPath,
    mode: fc.nat(0o7777),
    uid: fc.nat(2 ** 21 - 1),
    major: fc.nat(5000),
    minor: fc.nat(2 ** 20),
    data: fc.uint8Array({ maxLength: 9000 }).map((bytes) => Buffer.from(bytes)),
    size: fc.nat(20_000),
    pax: fc.array(fc.tuple(paxKey, paxValue), { maxLength: 3 }),
  },
  { requiredKeys: ["name", "type"] },
);

/** An entry that is sound by itself; what it meets in the tree may still make it fail. */
const harmless: fc.Arbitrary<MadeEntry> = fc
  .record({
    name: fc
      .array(fc.constantFrom("a", "b", "c", "d", "lib", ".", "\xff\xfe", "lost+found"), {
        minLength: 1,
        maxLength: 4,
      })
      .chain((parts) =>
        fc.constantFrom("", ".wh.", "").map((mark) => [...parts, `${mark}${parts.length}`].join("/")),
      ),
    type: fc.constantFrom(..."0055555236"),
    link: path,
    mode: fc.nat(0o7777),
    data: fc.uint8Array({ maxLength: 9000 }).map((bytes) => Buffer.from(bytes)),
  })
  .map((made) => ({ ...made, link: made.link || "a", data: made.type === "0" ? made.data : "" }));
const entry = fc.oneof({ weight: 15, arbitrary: harmless }, { weight: 1, arbitrary: hostile });

interface Damage {
  at: number;
  byte: number;
  sealed: boolean;
}
const damage: fc.Arbitrary<Damage[]> = fc.array(
  fc.record({ at: fc.nat(), byte: fc.nat(255), sealed: fc.boolean() }),
  { maxLength: 3 },
);
const someDamage = fc.oneof({ weight: 4, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: damage });

/** Some bytes changed, with or without the checksum of the header that they may lie in. */
function damaged(archive: Buffer, damages: readonly Damage[]): Buffer {
  for (const { at, byte, sealed } of damages) {
    if (archive.length === 0) continue;
    const place = at % archive.length;
    archive.writeUInt8(byte, place);
    const block = place - (place % 512);
    if (sealed && archive.length - block >= 512) seal(archive.subarray(block, block + 512));
  }
  return archive;
}

const layer = fc
  .tuple(fc.array(entry, { maxLength: 12 }), someDamage, fc.option(fc.constant("whole"), { freq: 9 }))
  .map(([entries, damages, cut]) => {
    // What is absent now and then is the second half.
    const archive = damaged(Buffer.concat([...entries.map(tarEntry), Buffer.alloc(1024)]), damages);
    return cut === null ? archive.subarray(0, archive.length / 2) : archive;
  });

const allowed = new Set(["layer_refused", "image_too_large"]);

test("archives", { timeout: 3_600_000 }, async (t) => {
  const hit = reached(t, { unpacked: numRuns / 10, refused: numRuns / 20 });
  const property = fc.asyncProperty(fc.array(layer, { minLength: 1, maxLength: 3 }), async (layers) => {
    const files = await layerFiles(directory, layers);
    const target = `${directory}/root.ext4`;
    try {
      await writeRootfs(files, target, rootfsOptions());
      await fsck(target);
      for (const name of treeOf(target).keys()) assert.ok(!name.split("/").includes(".."));
      hit("unpacked");
    } catch (error) {
      if (!(error instanceof BangerError && allowed.has(error.code))) throw error;
      assert.ok(!readdirSync(directory).includes("root.ext4"));
      hit("refused");
    }
    await rm(target, { force: true });
    for (const name of readdirSync(directory)) assert.match(name, /^layer-[0-2]$/);
  });
  await fc.assert(property, { numRuns });
});

/** A value with one of its parts replaced by something else. */
function replaced(value: unknown, places: readonly number[], by: unknown): unknown {
  if (typeof value !== "object" || value === null || places.length === 0) return by;
  const keys = Object.keys(value);
  if (keys.length === 0) return by;
  const key = keys[(places[0] as number) % keys.length] as string;
  const copy = (Array.isArray(value) ? [...value] : { ...value }) as Record<string, unknown>;
  copy[key] = replaced(copy[key], places.slice(1), by);
  return copy;
}

/** What a value says at a path, if it says anything there. */
const at = (value: unknown, ...path: (string | number)[]): unknown =>
  path.reduce<unknown>((inner, key) => (inner as Record<string, unknown> | null | undefined)?.[key], value);

/** Which of the three it is; what it says is what the value says at the same place. */
function checkAccepted(result: object, written: unknown): "manifest" | "descriptor" | "config" {
  const same = (said: Descriptor, by: unknown): void => {
    const { digest, size, mediaType } = said;
    assert.deepEqual(
      [digest, size, mediaType],
      [at(by, "digest"), at(by, "size"), at(by, "mediaType") ?? ""],
    );
    assert.match(digest, /^sha(256|512):[0-9a-f]+$/);
    assert.ok(Number.isSafeInteger(size) && size >= 0);
  };
  if ("layers" in result) {
    const { config, layers } = result as Manifest;
    same(config, at(written, "config"));
    const all = (at(written, "layers") ?? []) as unknown[];
    assert.equal(layers.length, all.length);
    for (const [index, layer] of layers.entries()) same(layer, all[index]);
    return "manifest";
  }
  if ("diffIds" in result) {
    const { diffIds, env, entrypoint, cmd, user } = result as ImageConfig;
    const said = (name: string) => [at(written, "config", name) ?? []].flat();
    assert.deepEqual([env, entrypoint, cmd], [said("Env"), said("Entrypoint"), said("Cmd")]);
    assert.deepEqual([diffIds, user], [at(written, "rootfs", "diff_ids") ?? [], said("User")[0] ?? ""]);
    return "config";
  }
  same(result as Descriptor, at(written, "manifests", 0));
  return "descriptor";
}

test("manifests and configurations: what is accepted says what was written, and nothing else", (t) => {
  const hit = reached(t, { manifest: numRuns, descriptor: numRuns, config: numRuns, refused: numRuns });
  const { manifest, config } = imageOf([blobOf(Buffer.from("one")), blobOf(Buffer.from("two"))]);
  const sound: unknown = JSON.parse(manifest.toString());
  const listed = { ...blobOf(manifest), bytes: undefined, platform: { os: "linux", architecture: "amd64" } };
  const words = { Env: ["A=b"], Entrypoint: ["/x", "-y"], Cmd: "sh", WorkingDir: "/w", User: "u" };
  const soundConfig: unknown = { ...JSON.parse(config.bytes.toString()), config: words };
  const read = readManifest(manifest, manifestType, "the sample");
  assert.ok("layers" in read);
  const strange = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom("../../x", -1, 1e300, "sha256:", null, "__proto__"),
  );
  const property = fc.property(
    fc.array(fc.nat(), { maxLength: 4 }),
    strange,
    fc.uint8Array(),
    (places, by, noise) => {
      const bytesOf = (value: unknown): Buffer => Buffer.from(JSON.stringify(value) ?? "");
      const [one, two] = [replaced(sound, places, by), replaced(soundConfig, places, by)];
      const index = { manifests: [replaced(listed, places, by)] };
      const attempts: [() => object, unknown][] = [
        [() => readManifest(bytesOf(one), manifestType, "it"), one],
        [() => readManifest(bytesOf(index), "", "it"), index],
        [() => readManifest(Buffer.from(noise), manifestType, "it"), undefined],
        [() => readConfig(bytesOf(two), read, "it"), two],
      ];
      for (const [attempt, written] of attempts)
        try {
          hit(checkAccepted(attempt(), written));
        } catch (error) {
          if (!(error instanceof BangerError)) throw error;
          hit("refused");
        }
    },
  );
  fc.assert(property, { numRuns: numRuns * 5 });
});
