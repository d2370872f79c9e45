/** The images and kernels that banger can make: the entries of catalog/*.json and the ids that their recipes give them. */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { imageIdFrom, kernelIdFrom, parseImageDirectory } from "../home/handles.js";
import { BangerError } from "../lib/errors.js";
import { shellQuote } from "../lib/shell.js";
import type { ImageId } from "../model/model.js";
import { readSuite } from "./apt-sources.js";
import {
  type Bundle,
  type Catalog,
  type KernelCatalog,
  type KernelRecipe,
  parseCatalog,
  parseKernelCatalog,
  type Recipe,
} from "./catalog-schema.js";

/** Raised when the builder itself makes another image from the same recipe. */
const builderVersion = 3;
const kernelBuilderVersion = 2;

const catalogDirectory = fileURLToPath(new URL("../../../catalog", import.meta.url));
const guestDirectory = "guest";
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

/** Lower-case hex; the id of an image carries the first eight digits. */
export function fingerprint(resolved: Omit<ResolvedRecipe, "imageId">): string {
  const { recipe, suite, customize, writeDisk } = resolved;
  const text = JSON.stringify([builderVersion, suite, recipe, customize, writeDisk]);
  return createHash("sha256").update(text).digest("hex");
}

const readFromCatalog = (path: string, directory = catalogDirectory): Promise<string> =>
  readFile(`${directory}/${path}`, "utf8");

/** A file that every guest gets, in whatever way its image is made. */
export interface GuestFile {
  /** From the guest's root, with a slash before it. */
  path: string;
  content: string;
}

/** All of catalog/guest, in the order of their paths. */
export async function readGuestFiles(): Promise<GuestFile[]> {
  const root = `${catalogDirectory}/${guestDirectory}`;
  const found = await readdir(root, { recursive: true, withFileTypes: true });
  const paths = found
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => `${parentPath}/${name}`);
  const read = async (path: string) => ({
    path: path.slice(root.length),
    content: await readFile(path, "utf8"),
  });
  return Promise.all(paths.sort().map(read));
}

/** Shell that puts these files into the tree that is its first argument, before the recipe's own scripts. */
const putting = (files: readonly GuestFile[]): string =>
  files
    .map(
      ({ path, content }) =>
        `mkdir -p "$1${dirname(path)}"\nprintf '%s\\n' ${shellQuote(content.trimEnd())} >"$1${path}"`,
    )
    .join("\n");

/** The catalog that belongs to this program. */
export const readCatalog = async (): Promise<Catalog> => parseCatalog(await readFromCatalog("images.json"));

export const readKernelCatalog = async (): Promise<KernelCatalog> =>
  parseKernelCatalog(await readFromCatalog("kernels.json"));

const unknownImage = ({ images }: Catalog, name: string): BangerError =>
  new BangerError("image_unknown", `the catalog has no image ${name}`, {
    hint: `banger image pull ${images.map((image) => image.name).join("|")}`,
  });

export interface ResolvedBundle {
  imageId: ImageId;
  name: string;
  bundle: Bundle;
}

/**
 * A catalog image on this host: its id, and its bundle, or its recipe with release and scripts.
 * @throws BangerError `image_unknown` when the catalog has no such name.
 */
export async function resolveImage(name: string): Promise<ResolvedRecipe | ResolvedBundle> {
  const catalog = await readCatalog();
  const bundle = catalog.images.find((image) => image.name === name)?.bundle;
  return bundle === undefined
    ? resolveRecipe(name, catalog)
    : { imageId: imageIdFrom(name, bundle.sha256), name, bundle };
}

/** What recipes that extend each other install of this release, each once. Pure. */
export const packagesFor = (suite: string, recipes: readonly Recipe[]): string[] => [
  ...new Set(recipes.flatMap((recipe) => [...recipe.packages, ...(recipe.packagesBySuite?.[suite] ?? [])])),
];

async function resolveRecipe(name: string, catalog: Catalog): Promise<ResolvedRecipe> {
  const recipeOf = (wanted?: string) => catalog.images.find((image) => image.name === wanted)?.recipe;
  const own = recipeOf(name);
  if (own === undefined) throw unknownImage(catalog, name);
  const base = recipeOf(own.extends);
  const recipes = [...(base === undefined ? [] : [base]), own];
  const scripts = await Promise.all(recipes.map(({ customize }) => readFromCatalog(customize)));
  const suite = (await readSuite()) ?? own.fallbackSuite;
  const resolved = {
    name,
    recipe: { ...own, packages: packagesFor(suite, recipes) },
    suite,
    customize: ["set -eu", putting(await readGuestFiles()), ...scripts].join("\n"),
    writeDisk: await readFromCatalog(writeDiskScript),
  };
  return { ...resolved, imageId: imageIdFrom(name, fingerprint(resolved)) };
}

/** The id of the image that `name` now stands for; an id stands for itself. */
export async function imageIdOf(name: string): Promise<ImageId> {
  const parsed = parseImageDirectory(name);
  if (parsed !== undefined && !parsed.partial) {
    const { images } = await readCatalog();
    if (!images.some((image) => image.name === name)) return parsed.id;
  }
  return (await resolveImage(name)).imageId;
}

export interface ResolvedKernel {
  imageId: ImageId;
  name: string;
  recipe: KernelRecipe;
  suite: string;
  /** Configuration and script of a kernel that is built from its source. */
  sources: { config: string; script: string } | null;
}

/**
 * The recipe of a catalog kernel on this host.
 * @throws BangerError `kernel_unknown` when the catalog has no such name.
 */
export async function resolveKernel(name: string): Promise<ResolvedKernel> {
  const { kernels } = await readKernelCatalog();
  const entry = kernels.find((kernel) => kernel.name === name);
  if (entry === undefined)
    throw new BangerError("kernel_unknown", `the catalog has no kernel ${name}`, {
      hint: `banger kernel pull ${kernels.map((kernel) => kernel.name).join("|")}`,
    });
  const { recipe } = entry;
  const suite = (await readSuite()) ?? recipe.fallbackSuite;
  const sources =
    recipe.kind === "source"
      ? { config: await readFromCatalog(recipe.config), script: await readFromCatalog(recipe.script) }
      : null;
  const text = JSON.stringify([kernelBuilderVersion, suite, recipe, sources]);
  const hash = createHash("sha256").update(text).digest("hex");
  return { imageId: kernelIdFrom(name, hash), name, recipe, suite, sources };
}
