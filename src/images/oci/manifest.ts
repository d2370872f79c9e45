/** Pure: indexes, manifests and configurations of images, Docker's and OCI's, checked before anything is believed. */
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { BangerError } from "../../errors.js";

const digest = Type.String({ pattern: "^sha(256:[0-9a-f]{64}|512:[0-9a-f]{128})$" });
const Descriptor = Type.Object({
  mediaType: Type.String(),
  digest,
  size: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
});
const Platform = Type.Object({
  os: Type.Optional(Type.String()),
  architecture: Type.Optional(Type.String()),
});
const Index = Type.Object({
  manifests: Type.Array(Type.Composite([Descriptor, Type.Object({ platform: Type.Optional(Platform) })])),
});
const Manifest = Type.Object({ config: Descriptor, layers: Type.Array(Descriptor, { maxItems: 1000 }) });
const Config = Type.Object({
  os: Type.Optional(Type.String()),
  architecture: Type.Optional(Type.String()),
  config: Type.Optional(
    Type.Union([
      Type.Null(),
      Type.Object({
        Env: Type.Optional(Type.Union([Type.Null(), Type.Array(Type.String())])),
        Entrypoint: Type.Optional(Type.Union([Type.Null(), Type.Array(Type.String())])),
        Cmd: Type.Optional(Type.Union([Type.Null(), Type.Array(Type.String())])),
        WorkingDir: Type.Optional(Type.String()),
        User: Type.Optional(Type.String()),
      }),
    ]),
  ),
  rootfs: Type.Optional(Type.Object({ diff_ids: Type.Array(digest) })),
});

export type Descriptor = Static<typeof Descriptor>;
export type Manifest = Static<typeof Manifest>;
export type ImageConfig = Static<typeof Config>;

const indexTypes = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
];
const manifestTypes = [
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
];
const layerType = new RegExp(
  "^application/vnd\\.(oci\\.image\\.layer\\.(nondistributable\\.)?v1\\.tar(\\+(gzip|zstd))?" +
    "|docker\\.image\\.rootfs\\.(foreign\\.)?diff\\.tar(\\.(gzip|zstd))?)$",
);

/** For the `Accept` header. */
export const acceptedTypes = [...manifestTypes, ...indexTypes].join(", ");

const malformed = (what: string): BangerError =>
  new BangerError("image_malformed", `${what} is not what its kind prescribes`);

function parse(bytes: Buffer, what: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(bytes.toString("utf8"));
    if (typeof value === "object" && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw malformed(what);
}

/** The one descriptor of an index that this machine can run. */
function forThisMachine(index: Static<typeof Index>, what: string): Descriptor {
  const runs = index.manifests.filter(
    ({ platform, mediaType }) =>
      platform?.os === "linux" && platform.architecture === "amd64" && manifestTypes.includes(mediaType),
  );
  const chosen = runs[0];
  if (chosen !== undefined) return chosen;
  const offered = index.manifests
    .flatMap(({ platform }) => (platform?.os ? [`${platform.os}/${platform.architecture}`] : []))
    .slice(0, 20);
  throw new BangerError(
    "platform_missing",
    `${what} is not made for linux/amd64, but for: ${offered.join(", ") || "nothing"}`,
  );
}

/**
 * An index gives the descriptor to fetch next, a manifest itself.
 * @throws BangerError `image_malformed`, `platform_missing`, `image_unsupported`
 */
export function readManifest(bytes: Buffer, mediaType: string, what: string): Manifest | Descriptor {
  const value = parse(bytes, what);
  const said = typeof value.mediaType === "string" ? value.mediaType : mediaType.split(";")[0]?.trim();
  if (value.schemaVersion === 1)
    throw new BangerError("image_unsupported", `${what} is of the first, long retired manifest format`, {
      hint: "push the image again with a newer tool",
    });
  const isIndex =
    indexTypes.includes(said ?? "") || (!manifestTypes.includes(said ?? "") && "manifests" in value);
  if (isIndex) {
    if (!Value.Check(Index, value)) throw malformed(what);
    return forThisMachine(value, what);
  }
  if (!Value.Check(Manifest, value)) throw malformed(what);
  const strange = value.layers.find((layer) => !layerType.test(layer.mediaType));
  if (strange !== undefined)
    throw new BangerError(
      "image_unsupported",
      `${what} has a layer of type ${JSON.stringify(strange.mediaType)}`,
    );
  return value;
}

/** @throws BangerError `image_malformed`, `platform_missing` */
export function readConfig(bytes: Buffer, manifest: Manifest, what: string): ImageConfig {
  const value = parse(bytes, `the configuration of ${what}`);
  if (!Value.Check(Config, value)) throw malformed(`the configuration of ${what}`);
  const ids = value.rootfs?.diff_ids;
  if (ids !== undefined && ids.length !== manifest.layers.length)
    throw malformed(`the configuration of ${what}`);
  if ((value.os ?? "linux") !== "linux" || (value.architecture ?? "amd64") !== "amd64")
    throw new BangerError(
      "platform_missing",
      `${what} is made for ${value.os}/${value.architecture}, not linux/amd64`,
    );
  return value;
}
