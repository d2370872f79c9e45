/** Routes of images and kernels: what is wanted is resolved, decided and appended; making is the loop's. */
import type {
  AvailableView,
  CachePruneResult,
  ImageDetails,
  ImagePull,
  ImagePullResult,
  ImageRegister,
  ImageView,
  KernelPull,
} from "../contract/images.js";
import { type PullCommand } from "../core/decide.js";
import { findImage, findKernel, isLive } from "../core/refs.js";
import { decideWithin } from "../core/room.js";
import { imageHandles, isKernelId } from "../home/handles.js";
import { BangerError } from "../lib/errors.js";
import type { Image, State } from "../model/model.js";
import { type ApiDeps, type Call, type Handle, roomOf } from "./route.js";
import { imageView } from "./views.js";

type Noun = "image" | "kernel";

function found(state: State, noun: Noun, ref: string): Image {
  const image = noun === "image" ? findImage(state, ref) : findKernel(state, ref);
  if (image !== undefined) return image;
  throw new BangerError(`${noun}_not_found`, `no ${noun} is named "${ref}"`, {
    hint: `banger ${noun} list`,
  });
}

/** The images, or the kernels, oldest first. */
const all = (state: State, noun: Noun): ImageView[] =>
  Object.values(state.images)
    .filter(({ id, phase }) => phase !== "deleted" && isKernelId(id) === (noun === "kernel"))
    .sort((a, b) => a.createdAt - b.createdAt)
    .map((image) => imageView(state, image));

function detailsOf({ ledger, home, images }: ApiDeps, image: Image): ImageDetails {
  const { state } = ledger;
  const users = Object.values(state.vms).filter((vm) => isLive(vm) && vm.imageId === image.id);
  return {
    ...imageView(state, image),
    directory: imageHandles(home, image.id).directory,
    manifest: images.manifestOf(image.id),
    users: users.map(({ name }) => name),
  };
}

/** Appends what the command decides, and shows the image that it is about. */
function act(
  deps: ApiDeps,
  command: PullCommand | { kind: "deleteImage"; imageId: string },
  cause: string,
): ImagePullResult {
  const { images, ledger, timeouts } = deps;
  const after = ledger.state.seq;
  const events = ledger.commit(decideWithin(roomOf(deps), ledger.state, command, timeouts), cause);
  const image = ledger.state.images[command.imageId] as Image;
  const already = events.length === 0 && (command.kind === "deleteImage" || image.phase === "ready");
  const here = images.isHere(image.id);
  return { image: imageView(ledger.state, image), after, already, here };
}

export function imageRoutes(handle: Handle, deps: ApiDeps): void {
  const { ledger, images } = deps;
  const make = (wanted: Omit<PullCommand, "kind">, cause: string) =>
    act(deps, { kind: "pullImage", ...wanted }, cause);
  nounRoutes(handle, deps, "image");
  nounRoutes(handle, deps, "kernel");
  handle<ImagePull, unknown>("imagePull", async ({ body, cause, gone }) =>
    make(await images.pull(ledger.state, body, gone), cause),
  );
  handle<ImageRegister, unknown>("imageRegister", async ({ body, cause }) =>
    make(await images.register(ledger.state, body), cause),
  );
  handle("imagePromote", ({ params, cause }) =>
    make(images.promote(found(ledger.state, "image", params["ref"] ?? "")), cause),
  );
  handle<KernelPull, unknown>("kernelPull", async ({ body, cause }) =>
    make(await images.kernel(ledger.state, body.ref, body.proxies), cause),
  );
  handle<{ name: string; from: string }, unknown>("kernelImport", async ({ body, cause }) =>
    make(await images.kernelFrom(body.name, body.from), cause),
  );
  handle<{ dryRun: boolean }, unknown>("imageCachePrune", ({ body }): Promise<CachePruneResult> => {
    const pulled = Object.values(ledger.state.images).find(
      ({ phase, source }) => phase === "building" && source.kind === "oci",
    );
    if (pulled !== undefined && !body.dryRun) {
      throw new BangerError("cache_in_use", `${pulled.name} is being pulled`, {
        hint: `banger events image/${pulled.id} -f, or: banger image delete ${pulled.id}`,
        retry: "later",
      });
    }
    return images.pruneCache(body.dryRun);
  });
}

/** What images and kernels have in common. */
function nounRoutes(handle: Handle, deps: ApiDeps, noun: Noun): void {
  const { ledger, images } = deps;
  const named = ({ params }: Call) => found(ledger.state, noun, params["ref"] ?? "");
  handle(`${noun}List`, () => all(ledger.state, noun));
  handle(`${noun}Available`, async (): Promise<AvailableView[]> => {
    const entries = await images.available(noun);
    return entries.map((entry) => ({ ...entry, here: images.isHere(entry.id) }));
  });
  handle(`${noun}Show`, (call) => detailsOf(deps, named(call)));
  handle(`${noun}Delete`, (call) => {
    const { id } = named(call);
    images.refuseUsedElsewhere(id);
    return act(deps, { kind: "deleteImage", imageId: id }, call.cause);
  });
}
