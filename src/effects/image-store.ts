/** Image directories: built beside their place, moved into it whole, and taken out of it whole. */
import { mkdir, rename, rm } from "node:fs/promises";
import { type Home, homeHandles, imageHandles } from "../handles.js";
import type { ImageId, ObservedImage } from "../model.js";
import { hostError } from "./host-error.js";
import { exists } from "./publish.js";

export interface BuildContext {
  signal: AbortSignal;
  /** Tells how far the build is. */
  stage: (stage: string, detail?: string) => void;
}

/** The part that knows recipes and manifests (src/images). */
export interface ImageMaker {
  /** Builds the image in its partial directory and gives it its name. Kills what it started when aborted. */
  build(id: ImageId, name: string, context: BuildContext): Promise<void>;
  /** Looks at a finished image's directory: whole, or not there. */
  inspect(id: ImageId): ObservedImage["image"];
}

export interface ImageDriver {
  ensure(id: ImageId, name: string, context: BuildContext): Promise<void>;
  ensureNoPartial(id: ImageId): Promise<void>;
  ensureNone(id: ImageId): Promise<void>;
  inspect(id: ImageId): ObservedImage["image"];
  /** Whether this daemon is building the image. */
  isBuilding(id: ImageId): boolean;
}

export function imageStore(home: Home, maker: ImageMaker): ImageDriver {
  const building = new Set<ImageId>();

  async function remove(id: ImageId): Promise<void> {
    const { partial } = imageHandles(home, id);
    try {
      await rm(partial, { recursive: true, force: true });
    } catch (error) {
      throw hostError(error, partial);
    }
  }

  return {
    inspect: (id) => maker.inspect(id),
    isBuilding: (id) => building.has(id),
    ensureNoPartial: remove,

    async ensure(id, name, context) {
      if (maker.inspect(id).is === "present") return;
      const { images } = homeHandles(home);
      building.add(id);
      try {
        await mkdir(images, { recursive: true, mode: 0o700 });
        await maker.build(id, name, context);
      } catch (error) {
        throw context.signal.aborted ? context.signal.reason : hostError(error, images);
      } finally {
        building.delete(id);
      }
    },

    async ensureNone(id) {
      const { directory, partial } = imageHandles(home, id);
      await remove(id);
      try {
        // An image that is only half removed must not look like one.
        if (await exists(directory)) await rename(directory, partial);
      } catch (error) {
        throw hostError(error, directory);
      }
      await remove(id);
    },
  };
}
