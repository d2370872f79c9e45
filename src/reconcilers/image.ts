/** Pure: an image's directory, built while it is wanted, and no half-built one beside it. */
import { needOf } from "../model/fits.js";
import type { Effect, Image, ImageId, ImageSource, ObservedImage } from "../model/model.js";

/** `need` is the image that `needOf` names. */
export function reconcileImage(image: Image, seen: ObservedImage, need?: Image): Effect[] {
  switch (image.phase) {
    case "building":
      // A damaged one was asked for anew, and is in nobody's way: decide.ts has made sure of that.
      if (seen.image.is === "present" && seen.image.damage !== null) {
        return [{ kind: "ensureNoImage", imageId: image.id }];
      }
      if (seen.image.is !== "absent" || (needOf(image.source) !== null && need?.phase !== "ready")) return [];
      return [{ kind: "ensureImage", imageId: image.id, name: image.name, source: image.source }];
    case "deleting":
      if (seen.image.is === "present") return [{ kind: "ensureNoImage", imageId: image.id }];
      break;
    default:
      break;
  }
  return seen.partial.is === "present" ? [{ kind: "ensureNoPartialImage", imageId: image.id }] : [];
}
