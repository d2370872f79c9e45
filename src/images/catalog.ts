/** The images that banger can make: the entries of catalog/images.json and the ids that their recipes give them. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { BangerError } from "../errors.js";
import { parseImageDirectory } from "../handles.js";
import type { ImageId } from "../model.js";
import { readSuite } from "./apt-sources.js";

const Recipe = Type.Object(
  {
    kind: Type.Literal("mmdebstrap"),
    variant: Type.Union([Type.Literal("minbase"), Type.Literal("apt"), Type.Literal("standard")]),
    /** Debian release where the host runs something else. */
    fallbackSuite: Type.String({ pattern: "^[a-z]+$" }),
    packages: Type.Array(Type.String({ pattern: "^[a-z0-9][a-z0-9+.-]+$" }), {
      minItems: 1,
      uniqueItems: true,
    }),
    /** Shell script, relative to catalog/, that gets the finished tree as its first argument. */
    customize: Type.String({ pattern: "^recipes/[a-z0-9/-]+\\.sh$" }),
    /** Size that the guest sees; the file itself is sparse. */
    rootfsMiB: Type.Integer({ minimum: 512, maximum: 65_536 }),
    bootArguments: Type.String(),
  },
  { additionalProperties: false },
);

const Catalog = Type.Object(
  {
    images: Type.Array(
      Type.Object(
        {
          name: Type.String({ pattern: "^[a-z0-9][a-z0-9.-]{0,63}$" }),
          summary: Type.String({ minLength: 1 }),
          recipe: Recipe,
        },
        { additionalProperties: false },
      ),
      { minItems: 1 },
    ),
  },
  { additionalProperties: false },
);

export type Recipe = Static<typeof Recipe>;
export type Catalog = Static<typeof Catalog>;

/** Raised when the builder itself makes another image from the same recipe. */
const builderVersion = 1;

const catalogDirectory = fileURLToPath(new URL("../../../catalog", import.meta.url));
/** Ends every recipe; see there. */
const writeDiskScript = "recipes/write-disk.sh";

/** All that a build depends on; equal recipes have equal fingerprints wherever their packages come from. */
export interface ResolvedRecipe {
  imageId: ImageId;
  name: string;
  recipe: Recipe;
  suite: string;
  customize: string;
  writeDisk: string;
}

/** @throws BangerError `catalog_invalid` which names the first offending place. */
export function parseCatalog(text: string): Catalog {
  const invalid = (why: string) =>
    new BangerError("catalog_invalid", `catalog/images.json: ${why}`, { hint: "reinstall banger" });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw invalid((error as Error).message);
  }
  const first = Value.Errors(Catalog, value).First();
  if (first !== undefined) throw invalid(`${first.path || "/"}: ${first.message}`);
  const catalog = value as Catalog;
  const names = catalog.images.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw invalid(`${twice} is there twice`);
  return catalog;
}

/** Lower-case hex; the id of an image carries the first eight digits. */
export function fingerprint(resolved: Omit<ResolvedRecipe, "imageId">): string {
  const { recipe, suite, customize, writeDisk } = resolved;
  const text = JSON.stringify([builderVersion, suite, recipe, customize, writeDisk]);
  return createHash("sha256").update(text).digest("hex");
}

const readFromCatalog = (path: string, directory = catalogDirectory): Promise<string> =>
  readFile(`${directory}/${path}`, "utf8");

/** The catalog that belongs to this program. */
export const readCatalog = async (): Promise<Catalog> => parseCatalog(await readFromCatalog("images.json"));

/**
 * The recipe of a catalog image on this host: its id, release and scripts.
 * @throws BangerError `image_unknown` when the catalog has no such name.
 */
export async function resolveRecipe(name: string): Promise<ResolvedRecipe> {
  const { images } = await readCatalog();
  const entry = images.find((image) => image.name === name);
  if (entry === undefined)
    throw new BangerError("image_unknown", `the catalog has no image ${name}`, {
      hint: `banger image pull ${images.map((image) => image.name).join("|")}`,
    });
  const { recipe } = entry;
  const resolved = {
    name,
    recipe,
    suite: (await readSuite()) ?? recipe.fallbackSuite,
    customize: await readFromCatalog(recipe.customize),
    writeDisk: await readFromCatalog(writeDiskScript),
  };
  return { ...resolved, imageId: `${name}-${fingerprint(resolved).slice(0, 8)}` };
}

/** The id of the image that `name` now stands for; an id stands for itself. */
export async function imageIdOf(name: string): Promise<ImageId> {
  const parsed = parseImageDirectory(name);
  if (parsed !== undefined && !parsed.partial) {
    const { images } = await readCatalog();
    if (!images.some((image) => image.name === name)) return parsed.id;
  }
  return (await resolveRecipe(name)).imageId;
}
