/** What an image says of itself, and the check that its files are still what the build made. */
import { readFileSync, statSync } from "node:fs";
import { basename } from "node:path";
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { isKernelId } from "../home/handles.js";
import { BangerError } from "../lib/errors.js";
import type { ImageId, ImageOrigin, ImageSource, ObservedImage } from "../model/model.js";

const File = Type.Object({
  bytes: Type.Integer({ minimum: 1 }),
  sha256: Type.Optional(Type.String({ pattern: "^[0-9a-f]{64}$" })),
});

const strings = Type.Array(Type.String());
/** What an image from a registry says of the container that it was meant for; nothing here depends on it. */
const Oci = Type.Object({
  reference: Type.String(),
  digest: Type.String(),
  env: strings,
  entrypoint: strings,
  cmd: strings,
  workingDirectory: Type.String(),
  user: Type.String(),
});

const Id = Type.String();
const PathOrNone = Type.Union([Type.String(), Type.Null()]);
const kindOf = <K extends ImageSource["kind"]>(kind: K) => ({ kind: Type.Literal(kind) });
const Source = Type.Union([
  Type.Object(kindOf("catalog")),
  Type.Object({
    ...kindOf("oci"),
    ...{ reference: Type.String(), digest: Type.String(), kernelId: Id },
    sizeMiB: Type.Union([Type.Integer(), Type.Null()]),
  }),
  Type.Object({
    ...kindOf("files"),
    ...{ rootfs: Type.String(), kernel: PathOrNone, initrd: PathOrNone, modules: PathOrNone },
    workSeed: Type.Optional(Type.String()),
    kernelId: Type.Union([Id, Type.Null()]),
  }),
  Type.Object({ ...kindOf("copy"), imageId: Id }),
  Type.Object({ ...kindOf("directory"), path: Type.String() }),
]);

const Manifest = Type.Object({
  schema: Type.Literal(1),
  name: Type.String(),
  /** What it was made from; images of earlier versions do not say. */
  source: Type.Optional(Source),
  /** Release of Debian, where the archive's packages went into it. */
  suite: Type.Optional(Type.String()),
  oci: Type.Optional(Oci),
  kernelRelease: Type.String(),
  /** Kernel arguments that the image itself asks for. */
  bootArguments: Type.String(),
  /** Bytes that the image takes on the host's disk. */
  sizeBytes: Type.Integer({ minimum: 1 }),
  files: Type.Record(Type.String(), File),
});

export type Manifest = Static<typeof Manifest>;

export const rootfsFile = "rootfs.ext4";
export const kernelFile = "vmlinux";
export const modulesFile = "modules.cpio";
/** The kernel's modules, all of them, as a layer for root disks. */
export const modulesTree = "modules.tar";
/** What /root of a new VM begins with, where the image has been given one; see work-seed.ts for all others. */
export const workSeedFile = "work-seed.ext4";
export const manifestFile = "manifest.json";

/** What an image or a kernel consists of. */
export const filesOf = (id: ImageId): string[] =>
  isKernelId(id) ? [kernelFile, modulesFile, modulesTree] : [rootfsFile, kernelFile, modulesFile];

const corrupt = (directory: string, why: string, cause?: unknown): BangerError =>
  new BangerError("image_corrupt", `the image in ${directory} is damaged: ${why}`, {
    hint: "banger image pull NAME, to build it again",
    cause,
  });

/** The seed that an image has been given, in a list of one, or of none. */
export const ownSeed = ({ files }: Manifest): string[] =>
  files[workSeedFile] === undefined ? [] : [workSeedFile];

/** @throws BangerError `image_corrupt`; ENOENT of the directory itself comes out as it is. */
export function readManifest(directory: string): Manifest {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(`${directory}/${manifestFile}`, "utf8"));
  } catch (error) {
    throw corrupt(directory, (error as Error).message, error);
  }
  if (!Value.Check(Manifest, value))
    throw corrupt(directory, `${manifestFile} does not have the expected form`);
  return value;
}

/**
 * The manifest of an image whose files all have the size that it says. Contents are not read: that takes seconds.
 * @throws BangerError `image_corrupt` which names the file.
 */
export const verifyImage = (directory: string): Manifest =>
  verifyFiles(directory, filesOf(basename(directory)));

/** The same of a directory that has not its name yet. @throws BangerError `image_corrupt` */
export function verifyFiles(directory: string, files: readonly string[]): Manifest {
  const manifest = readManifest(directory);
  for (const file of [...files, ...ownSeed(manifest)]) {
    const expected = manifest.files[file];
    let bytes: number;
    try {
      bytes = statSync(`${directory}/${file}`).size;
    } catch (error) {
      throw corrupt(directory, (error as Error).message, error);
    }
    if (expected === undefined || bytes !== expected.bytes)
      throw corrupt(directory, `${file} has ${bytes} bytes instead of ${expected?.bytes ?? "none"}`);
  }
  return manifest;
}

/** ENOENT, and what is not an error of the host at all, are evidence; anything else only says that the look failed. */
function isEvidence(error: unknown): boolean {
  if (!(error instanceof BangerError)) return false;
  const { code } = (error.cause ?? {}) as NodeJS.ErrnoException;
  return code === undefined || code === "ENOENT";
}

/** Ids of what this version's catalog makes on this host, and the names that they are made under. */
export type CatalogIds = ReadonlyMap<ImageId, string>;

/**
 * What an image that another home had made is known by here. The catalog's names stand for what it has now: neither an
 * older one nor anything else of such a name is taken for it.
 */
function originOf(directory: string, manifest: Manifest, catalog: CatalogIds): ImageOrigin | undefined {
  const ofCatalog = catalog.get(basename(directory));
  const { name, source } = manifest;
  const other = source?.kind === "catalog" || [...catalog.values()].includes(name) ? undefined : source;
  const known = ofCatalog === undefined ? other && { name, source: other } : catalogOrigin(ofCatalog);
  return known && { ...known, builtAt: Math.round(statSync(`${directory}/${manifestFile}`).mtimeMs) };
}

const catalogOrigin = (name: string) => ({ name, source: { kind: "catalog" } }) as const;

/** Looks at an image: there and whole, there and damaged, not there, or not to be told. */
export function inspectImage(directory: string, catalog: CatalogIds = new Map()): ObservedImage["image"] {
  try {
    if (statSync(directory, { throwIfNoEntry: false }) === undefined) return { is: "absent" };
    const manifest = verifyImage(directory);
    const origin = originOf(directory, manifest, catalog);
    return { is: "present", sizeBytes: manifest.sizeBytes, damage: null, ...(origin && { origin }) };
  } catch (error) {
    const { message } = error as Error;
    return isEvidence(error)
      ? { is: "present", sizeBytes: 0, damage: message }
      : { is: "unknown", cause: message };
  }
}
