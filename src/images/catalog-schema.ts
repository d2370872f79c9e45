/** Pure: the form of the catalog's two files, and their reading. */
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { BangerError } from "../lib/errors.js";

const entryName = Type.String({ pattern: "^[a-z0-9][a-z0-9.-]{0,63}$" });

/** Debian release where the host runs something else. */
const fallbackSuite = Type.String({ pattern: "^[a-z]+$" });

const packageNames = Type.Array(Type.String({ pattern: "^[a-z0-9][a-z0-9+.-]+$" }), {
  minItems: 1,
  uniqueItems: true,
});

const Recipe = Type.Object(
  {
    kind: Type.Literal("mmdebstrap"),
    /** The image whose packages come before these, and whose script runs before this one. */
    extends: Type.Optional(entryName),
    variant: Type.Union([Type.Literal("minbase"), Type.Literal("apt"), Type.Literal("standard")]),
    fallbackSuite,
    packages: packageNames,
    /** More of them for some releases of Debian, which cut a thing into packages in another way. */
    packagesBySuite: Type.Optional(Type.Record(Type.String({ pattern: "^[a-z]+$" }), packageNames)),
    /** Whether the packages' manual pages come too. */
    manuals: Type.Optional(Type.Boolean()),
    /** Shell script, relative to catalog/, that gets the finished tree as its first argument. */
    customize: Type.String({ pattern: "^recipes/[a-z0-9/-]+\\.sh$" }),
    /** Size that the guest sees; the file itself is sparse. */
    rootfsMiB: Type.Integer({ minimum: 512, maximum: 65_536 }),
    bootArguments: Type.String(),
  },
  { additionalProperties: false },
);

/** A tar.zst of the files of an image, as catalog/maintain.sh makes it. */
const Bundle = Type.Object(
  {
    url: Type.String({ pattern: "^https?://\\S+$" }),
    sha256: Type.String({ pattern: "^[0-9a-f]{64}$" }),
    bytes: Type.Integer({ minimum: 1 }),
  },
  { additionalProperties: false },
);

const Catalog = Type.Object(
  {
    images: Type.Array(
      Type.Object(
        {
          name: entryName,
          summary: Type.String({ minLength: 1 }),
          /** How it is made here; where it is made already, which comes first. */
          recipe: Type.Optional(Recipe),
          bundle: Type.Optional(Bundle),
        },
        { additionalProperties: false },
      ),
      { minItems: 1 },
    ),
  },
  { additionalProperties: false },
);

const KernelRecipe = Type.Union([
  Type.Object(
    {
      kind: Type.Literal("package"),
      fallbackSuite,
      /** Package of the Debian archive with the kernel and its modules, or one that depends on the newest such. */
      package: Type.String({ pattern: "^linux-image-[a-z0-9+.-]+$" }),
      bootArguments: Type.String(),
    },
    { additionalProperties: false },
  ),
  Type.Object(
    {
      kind: Type.Literal("source"),
      fallbackSuite,
      /** Package with the kernel's source. */
      package: Type.String({ pattern: "^linux-source[a-z0-9+.-]*$" }),
      /** Kernel configuration, relative to catalog/. */
      config: Type.String({ pattern: "^recipes/[a-z0-9/-]+$" }),
      /** Shell script, relative to catalog/, that builds it. */
      script: Type.String({ pattern: "^recipes/[a-z0-9/-]+\\.sh$" }),
      bootArguments: Type.String(),
    },
    { additionalProperties: false },
  ),
]);

const KernelCatalog = Type.Object(
  {
    kernels: Type.Array(
      Type.Object(
        { name: entryName, summary: Type.String({ minLength: 1 }), recipe: KernelRecipe },
        { additionalProperties: false },
      ),
      { minItems: 1 },
    ),
  },
  { additionalProperties: false },
);

export type Recipe = Static<typeof Recipe>;
export type KernelRecipe = Static<typeof KernelRecipe>;
export type Bundle = Static<typeof Bundle>;
export type Catalog = Static<typeof Catalog>;
export type KernelCatalog = Static<typeof KernelCatalog>;

const invalid = (file: string, why: string): BangerError =>
  new BangerError("catalog_invalid", `catalog/${file}: ${why}`, { hint: "reinstall banger" });

function parse<T extends TSchema>(schema: T, file: string, text: string): Static<T> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw invalid(file, (error as Error).message);
  }
  const first = Value.Errors(schema, value).First();
  if (first !== undefined) throw invalid(file, `${first.path || "/"}: ${first.message}`);
  for (const entries of Object.values(value as Record<string, { name: string }[]>)) {
    const names = entries.map(({ name }) => name);
    const twice = names.find((name, index) => names.indexOf(name) !== index);
    if (twice !== undefined) throw invalid(file, `${twice} is listed twice`);
  }
  return value as Static<T>;
}

/** @throws BangerError `catalog_invalid` which names the first offending place. */
export function parseCatalog(text: string): Catalog {
  const catalog = parse(Catalog, "images.json", text);
  const withRecipe = new Set(catalog.images.flatMap(({ name, recipe }) => (recipe ? [name] : [])));
  for (const { name, recipe, bundle } of catalog.images) {
    if (recipe === undefined && bundle === undefined)
      throw invalid("images.json", `${name} has neither a recipe nor a bundle`);
    if (recipe?.extends !== undefined && !withRecipe.has(recipe.extends))
      throw invalid("images.json", `${name} extends ${recipe.extends}, which has no recipe`);
  }
  return catalog;
}

/** @throws BangerError `catalog_invalid` which names the first offending place. */
export const parseKernelCatalog = (text: string): KernelCatalog => parse(KernelCatalog, "kernels.json", text);
