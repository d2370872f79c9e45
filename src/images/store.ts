/** Image directories: built beside their place, moved into it whole, and taken out of it whole. */
import { mkdir, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { type Home, imageHandles } from "../home/handles.js";
import { hostError } from "../host/host-error.js";
import { exists } from "../host/publish.js";
import type { Effect, ImageId, ObservedImage, StageReached } from "../model/model.js";
import { refuseUsed } from "./use.js";

export type EnsureImage = Extract<Effect, { kind: "ensureImage" }>;

interface BuildSupport {
  signal: AbortSignal;
  /** Tells how far the build is. */
  stage: (reached: StageReached) => void;
}

/** The part that knows recipes and manifests (src/images). */
export interface ImageMaker {
  /** Builds the image in its partial directory and gives it its name. Kills what it started when aborted. */
  build(wanted: EnsureImage, context: BuildSupport): Promise<void>;
  /** Looks at a finished image's directory: whole, or not there. */
  inspect(id: ImageId): ObservedImage["image"];
  /** Removes the partial directory and, before that, whoever still builds in it. */
  removePartial(id: ImageId): Promise<void>;
  lookAtPartial(id: ImageId): SeenPartial;
}

/** Who builds in a partial directory: this daemon's builder or one that outlived its own, or another home's. */
export interface SeenPartial {
  building: boolean;
  elsewhere: boolean;
}

export interface ImageDriver {
  ensure(wanted: EnsureImage, context: BuildSupport): Promise<void>;
  ensureNoPartial(id: ImageId): Promise<void>;
  ensureNone(id: ImageId): Promise<void>;
  inspect(id: ImageId): ObservedImage["image"];
  lookAtPartial(id: ImageId): SeenPartial;
}

export function imageStore(home: Home, maker: ImageMaker): ImageDriver {
  async function removePartial(id: ImageId): Promise<void> {
    try {
      await maker.removePartial(id);
    } catch (error) {
      throw hostError(error, imageHandles(home, id).partial);
    }
  }

  return {
    inspect: (id) => maker.inspect(id),
    lookAtPartial: (id) => maker.lookAtPartial(id),
    ensureNoPartial: removePartial,

    async ensure(wanted, context) {
      const seen = maker.inspect(wanted.imageId);
      if (seen.is === "present" && seen.damage === null) return;
      const place = dirname(imageHandles(home, wanted.imageId).directory);
      try {
        await mkdir(place, { recursive: true, mode: 0o700 });
        await maker.build(wanted, context);
      } catch (error) {
        throw context.signal.aborted ? context.signal.reason : hostError(error, place);
      }
    },

    async ensureNone(id) {
      const { directory, partial } = imageHandles(home, id);
      await removePartial(id);
      refuseUsed(home, id);
      try {
        // An image that is only half removed must not look like one.
        if (await exists(directory)) await rename(directory, partial);
      } catch (error) {
        throw hostError(error, directory);
      }
      await removePartial(id);
    },
  };
}
