/** Pure: indexes, manifests and configurations of images, Docker's and OCI's, checked before anything is believed. */
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { BangerError } from "../lib/errors.js";

const digest = Type.String({ pattern: "^sha(256:[0-9a-f]{64}|512:[0-9a-f]{128})$" });
/** Tools written in Go leave out what is empty, or write it as null: both mean the same, here as for them. */
const Lax = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]));
const Text = Lax(Type.String());
const Descriptor = Type.Object({
  mediaType: Text,
  digest,
  size: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
  /** Places outside of the registry that have the blob, as for layers that may not be handed on. */
  urls: Lax(Type.Array(Type.String(), { maxItems: 100 })),
});
const Listed = Type.Composite([
  Descriptor,
  Type.Object({
    platform: Lax(Type.Object({ os: Text, architecture: Text, variant: Text })),
    artifactType: Text,
    annotations: Lax(Type.Record(Type.String(), Type.Unknown())),
  }),
]);
const Index = Type.Object({ manifests: Lax(Type.Array(Listed)) });
const ManifestForm = Type.Object({
  config: Descriptor,
  layers: Lax(Type.Array(Descriptor, { maxItems: 1000 })),
});
/** Old tools wrote one word without its list. */
const Words = Lax(Type.Union([Type.String(), Type.Array(Type.String())]));
const Config = Type.Object({
  os: Text,
  architecture: Text,
  config: Lax(
    Type.Object({
      Env: Lax(Type.Array(Type.String())),
      Entrypoint: Words,
      Cmd: Words,
      WorkingDir: Text,
      User: Text,
    }),
  ),
  rootfs: Lax(Type.Object({ diff_ids: Lax(Type.Array(digest)) })),
});

export interface Descriptor {
  /** Empty where nobody says it. */
  mediaType: string;
  digest: string;
  size: number;
  urls?: readonly string[];
}

export interface Manifest {
  config: Descriptor;
  layers: Descriptor[];
}

export interface ImageConfig {
  env: string[];
  entrypoint: string[];
  cmd: string[];
  workingDirectory: string;
  user: string;
  /** Of the unpacked layers, in order; empty where the configuration does not say. */
  diffIds: string[];
}

const indexTypes = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
];
const manifestTypes = [
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
];
const layerType = new RegExp(
  String.raw`^(|application/vnd\.(oci\.image\.layer\.(nondistributable\.)?v1\.tar(\+(gzip|zstd|xz|bzip2))?` +
    String.raw`|docker\.image\.rootfs\.(foreign\.)?diff\.tar(\.(gzip|zstd|xz|bzip2))?))$`,
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

const descriptor = ({ mediaType, digest, size, urls }: Static<typeof Descriptor>): Descriptor => ({
  ...{ mediaType: mediaType ?? "", digest, size },
  ...(urls && urls.length > 0 && { urls }),
});

const words = (said: string | readonly string[] | null | undefined): string[] =>
  typeof said === "string" ? [said] : [...(said ?? [])];

/** The names that containerd takes for linux/amd64, too; what is not said is undefined. */
function platformOf(os: string | null | undefined, architecture: string | null | undefined) {
  const machine = architecture?.toLowerCase().replace(/^x86[_-]64$/, "amd64");
  return { os: os?.toLowerCase() || undefined, architecture: machine || undefined };
}

const runsHere = ({ os, architecture }: ReturnType<typeof platformOf>): boolean =>
  (os ?? "linux") === "linux" && (architecture ?? "amd64") === "amd64";

type Entry = Static<typeof Listed>;

/** What is said of an image, such as how it was built, and is none. */
const isAttached = ({ artifactType, annotations }: Entry): boolean =>
  Boolean(artifactType) || annotations?.["vnd.docker.reference.type"] !== undefined;

/**
 * How well an entry of an index suits this machine; undefined for not at all. As containerd has it, one that names no
 * platform may do, and an index may lie in an index; of the variants of amd64 the one that runs everywhere comes first.
 */
function fitness(entry: Entry): number | undefined {
  const { os, architecture } = platformOf(entry.platform?.os, entry.platform?.architecture);
  const kind = entry.mediaType || manifestTypes[0] || "";
  if (isAttached(entry) || !runsHere({ os, architecture })) return undefined;
  const named = os !== undefined && architecture !== undefined;
  if (indexTypes.includes(kind)) return named ? 2 : 4;
  if (!manifestTypes.includes(kind)) return undefined;
  if (!named) return 3;
  return ["", "v1"].includes(entry.platform?.variant ?? "") ? 0 : 1;
}

/** The one descriptor of an index that this machine can run. */
function forThisMachine(index: Static<typeof Index>, what: string): Descriptor {
  const entries = index.manifests ?? [];
  const runs = entries.flatMap((entry) => {
    const rank = fitness(entry);
    return rank === undefined ? [] : [{ entry, rank }];
  });
  const [chosen] = runs.sort((a, b) => a.rank - b.rank);
  if (chosen !== undefined) return descriptor(chosen.entry);
  const offered = entries
    .filter((entry) => !isAttached(entry))
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
  const said = (typeof value.mediaType === "string" && value.mediaType) || mediaType.split(";")[0]?.trim();
  if (value.schemaVersion === 1)
    throw new BangerError("image_unsupported", `${what} is of the first, long retired manifest format`, {
      hint: "push the image again with a newer tool",
    });
  // One that could be read both ways would be another image to another tool; containerd refuses it as well.
  if (value.manifests && (value.layers || value.config)) throw malformed(what);
  const isIndex =
    indexTypes.includes(said ?? "") || (!manifestTypes.includes(said ?? "") && "manifests" in value);
  if (isIndex) {
    if (!Value.Check(Index, value)) throw malformed(what);
    return forThisMachine(value, what);
  }
  if (!Value.Check(ManifestForm, value)) throw malformed(what);
  const layers = (value.layers ?? []).map(descriptor);
  const strange = layers.find((layer) => !layerType.test(layer.mediaType));
  if (strange !== undefined)
    throw new BangerError(
      "image_unsupported",
      `${what} has a layer of type ${JSON.stringify(strange.mediaType)}`,
    );
  return { config: descriptor(value.config), layers };
}

/** @throws BangerError `image_malformed`, `platform_missing` */
export function readConfig(bytes: Buffer, manifest: Manifest, what: string): ImageConfig {
  const value = parse(bytes, `the configuration of ${what}`);
  if (!Value.Check(Config, value)) throw malformed(`the configuration of ${what}`);
  const diffIds = value.rootfs?.diff_ids ?? [];
  if (diffIds.length > 0 && diffIds.length !== manifest.layers.length)
    throw malformed(`the configuration of ${what}`);
  if (!runsHere(platformOf(value.os, value.architecture)))
    throw new BangerError(
      "platform_missing",
      `${what} is made for ${value.os}/${value.architecture}, not linux/amd64`,
    );
  const { config } = value;
  return {
    env: words(config?.Env),
    entrypoint: words(config?.Entrypoint),
    cmd: words(config?.Cmd),
    workingDirectory: config?.WorkingDir ?? "",
    user: config?.User ?? "",
    diffIds,
  };
}
