/** What the API asks of images beside the state: what names mean, what the catalog has, what an image says of itself. */
import { readFileSync } from "node:fs";
import { mkdir, readdir, rename, stat } from "node:fs/promises";
import { type Home, imageHandles } from "../home/handles.js";
import type { ProxyBook } from "../host/proxies.js";
import { removeTree } from "../host/remove-tree.js";
import type { Clock } from "../lib/clock.js";
import type { ImageId } from "../model/model.js";
import { readCatalog, readKernelCatalog, resolveImage, resolveKernel } from "./catalog.js";
import { type CatalogIds, inspectImage } from "./manifest.js";
import type { RegistryAccess } from "./registry-access.js";
import { fullReference, type ImageResolver, imageResolver } from "./resolve.js";
import { refuseUsed } from "./use.js";

interface Available {
  name: string;
  id: ImageId;
  summary: string;
}

export interface Images extends ImageResolver {
  /** A reference in full; any other name of an image as it is. @throws BangerError `reference_invalid` */
  fullReference(ref: string): string;
  available(noun: "image" | "kernel"): Promise<Available[]>;
  /** Null when it is not there, or not to be read. */
  manifestOf(id: ImageId): Record<string, unknown> | null;
  /** Whether the image lies on the disk whole, whichever home had it made. */
  isHere(id: ImageId): boolean;
  /** @throws BangerError `image_in_use` while VMs of another home, which shares the images, are made from it */
  refuseUsedElsewhere(id: ImageId): void;
  /** Empties the cache of blobs, or only says what that would remove. */
  pruneCache(dryRun: boolean): Promise<{ blobs: number; bytes: number }>;
}

async function availableImages(): Promise<Available[]> {
  const { images } = await readCatalog();
  const ids = images.map(async ({ name, summary }) => ({
    name,
    summary,
    id: (await resolveImage(name)).imageId,
  }));
  return Promise.all(ids);
}

async function availableKernels(): Promise<Available[]> {
  const { kernels } = await readKernelCatalog();
  const ids = kernels.map(async ({ name, summary }) => ({
    name,
    summary,
    id: (await resolveKernel(name)).imageId,
  }));
  return Promise.all(ids);
}

/** What the catalog of this version makes on this host. */
export async function catalogIds(): Promise<CatalogIds> {
  const available = await Promise.all([availableImages(), availableKernels()]);
  return new Map(available.flat().map(({ id, name }) => [id, name]));
}

async function sizeOf(directory: string): Promise<{ blobs: number; bytes: number }> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch((error) => {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  });
  const files = entries.filter((entry) => entry.isFile());
  const sizes = await Promise.all(
    files.map(async (file) => (await stat(`${file.parentPath}/${file.name}`)).size),
  );
  return { blobs: files.length, bytes: sizes.reduce((sum, size) => sum + size, 0) };
}

export function imageQueries(home: Home, access: RegistryAccess, proxies: ProxyBook, clock: Clock): Images {
  return {
    ...imageResolver(access, proxies, clock),
    fullReference,
    available: (noun) => (noun === "image" ? availableImages() : availableKernels()),

    isHere(id) {
      const seen = inspectImage(imageHandles(home, id).directory);
      return seen.is === "present" && seen.damage === null;
    },
    refuseUsedElsewhere: (id) => refuseUsed(home, id),

    manifestOf(id) {
      try {
        return JSON.parse(readFileSync(imageHandles(home, id).manifest, "utf8")) as Record<string, unknown>;
      } catch {
        return null;
      }
    },

    async pruneCache(dryRun) {
      const { cacheDirectory } = access;
      const aside = `${cacheDirectory}.removed`;
      // What an earlier prune was kept from removing goes too.
      const sizes = await Promise.all([cacheDirectory, aside].map(sizeOf));
      const blobs = sizes.reduce((sum, each) => sum + each.blobs, 0);
      const bytes = sizes.reduce((sum, each) => sum + each.bytes, 0);
      if (dryRun) return { blobs, bytes };
      await removeTree(aside);
      await mkdir(cacheDirectory, { recursive: true, mode: 0o700 });
      await rename(cacheDirectory, aside);
      await mkdir(cacheDirectory, { mode: 0o700 });
      await removeTree(aside);
      return { blobs, bytes };
    },
  };
}
