/** The images of a run: one of the catalog, which VMs are made of, and others that need a kernel. */
import type { PullCommand } from "../../src/core/decide.js";
import type { PerformContext } from "../../src/loop/world.js";
import { event, imageStream } from "../../src/model/events.js";
import type { Effect, ImageId, ImageOrigin } from "../../src/model/model.js";
import type { Hands } from "./disks.js";

const kernelId = "kernel-sim-00000009";
/** -1 is the kernel. */
export const imageId = (n: number) => (n < 0 ? kernelId : `sim-${n}-0000000${n}`);

/** The first image is of the catalog; the others come from a registry and need a kernel. */
export function wantedImage(n: number): Omit<PullCommand, "kind"> {
  const wanted = { imageId: imageId(n), name: `sim-${n}`, source: { kind: "catalog" } as const };
  if (n === 0) return wanted;
  const reference = `registry.example/sim:${n}`;
  const source = { kind: "oci", reference, digest: `sha256:${n}`, sizeMiB: null, kernelId } as const;
  const need = { imageId: kernelId, name: "sim-kernel", source: { kind: "catalog" } as const };
  return { ...wanted, source, need };
}

export interface SimImage {
  ready: boolean;
  damaged: boolean;
  partial: boolean;
  /** A builder that outlived the daemon which started it. */
  builder: boolean;
  /** Another home, which shares the images, had it made. */
  elsewhere: boolean;
}

export const noImage = (): SimImage => ({
  ...{ ready: false, damaged: false, partial: false, builder: false },
  elsewhere: false,
});

/** What an image says of itself, whoever had it made. */
export function originOf(id: ImageId): ImageOrigin {
  const wanted = [0, 1].map(wantedImage).find((each) => each.imageId === id);
  const { name, source } = wanted ?? { name: id, source: { kind: "catalog" } as const };
  return { name, source, builtAt: 0 };
}

/** A build: its stages, and the end of one that nobody waits for any more. */
export async function ensureImage(
  { host, change, pause }: Hands,
  { imageId }: Extract<Effect, { kind: "ensureImage" }>,
  { signal, note }: PerformContext,
): Promise<void> {
  const image = host.image(imageId);
  if (image.ready && !image.damaged) return;
  change(() => Object.assign(image, { partial: true, builder: true }));
  for (const stage of ["packages", "disk"]) {
    note(event(imageStream(imageId), "image.stage_reached", { stage }));
    await pause(1000, 30_000);
    if (signal.aborted) {
      change(() => Object.assign(image, { partial: false, builder: false }));
      throw signal.reason;
    }
  }
  change(() => Object.assign(image, { ...noImage(), ready: true }));
}
