/** Pure: an image's directory, built while it is wanted, and no half-built one beside it. */
import type { Effect, Image, ObservedImage } from "../model.js";

export function reconcileImage(image: Image, seen: ObservedImage): Effect[] {
  switch (image.phase) {
    case "building":
      // A damaged one was asked for anew, and is in nobody's way: decide.ts has made sure of that.
      if (seen.image.is === "present" && seen.image.damage !== null) {
        return [{ kind: "ensureNoImage", imageId: image.id }];
      }
      return seen.image.is === "absent" ? [{ kind: "ensureImage", imageId: image.id, name: image.name }] : [];
    case "deleting":
      if (seen.image.is === "present") return [{ kind: "ensureNoImage", imageId: image.id }];
      break;
    default:
      break;
  }
  return seen.partial.is === "present" ? [{ kind: "ensureNoPartialImage", imageId: image.id }] : [];
}
