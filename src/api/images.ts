/** Routes of images. */
import type { ImagePullResult, ImageView } from "../contract.js";
import { decide } from "../decide.js";
import type { Image } from "../model.js";
import type { ApiDeps, Handle } from "./route.js";
import { imageView } from "./views.js";

export function imageRoutes(handle: Handle, { ledger, timeouts, imageIdOf }: ApiDeps): void {
  handle("imageList", (): ImageView[] => {
    const images = Object.values(ledger.state.images).filter(({ phase }) => phase !== "deleted");
    return images.sort((a, b) => a.createdAt - b.createdAt).map((image) => imageView(ledger.state, image));
  });
  handle<{ name: string }, unknown>("imagePull", async ({ body, cause }): Promise<ImagePullResult> => {
    const { name } = body;
    const imageId = await imageIdOf(name);
    const after = ledger.state.seq;
    ledger.commit(decide(ledger.state, { kind: "pullImage", imageId, name }, timeouts), cause);
    const image = ledger.state.images[imageId] as Image;
    return { image: imageView(ledger.state, image), after, already: image.phase === "ready" };
  });
}
