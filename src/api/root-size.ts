/** How large root disks may be: what a client asks for, what the configuration says, and what the image below sets. */
import { findImage } from "../core/refs.js";
import { BangerError } from "../lib/errors.js";
import { formatSize } from "../lib/sizes.js";
import type { VmSpec } from "../model/model.js";
import type { ApiDeps } from "./route.js";

/**
 * Whether a root disk can have that size; `imageMiB` is that of the image below it, null where it always has that.
 * @throws BangerError `root_size_unsupported`, `disk_shrinks`
 */
export function refuseRootSize(rootMiB: number | undefined, imageMiB: number | null, image: string): void {
  if (rootMiB === undefined) return;
  if (imageMiB === null) {
    const message = "in system mode the disk for / has the size of the image";
    throw new BangerError("root_size_unsupported", message, {
      hint: "leave out --root-size; /root is a separate disk, and --disk-size makes it larger",
    });
  }
  if (rootMiB >= imageMiB) return;
  const message = `the disk for / of image ${image} has ${imageMiB} MiB, and disks only grow`;
  throw new BangerError("disk_shrinks", message, {
    hint: `--root-size ${formatSize(imageMiB)}, or leave out the flag`,
  });
}

/** The root disk's size, of which a default counts only where it is larger than the image's. @throws BangerError */
export function rootSize(
  { ledger, world, defaults }: ApiDeps,
  ref: string,
  wanted?: number,
): Pick<VmSpec, "rootMiB"> {
  const image = findImage(ledger.state, ref);
  const least = image?.phase === "ready" ? world.leastRootMiB(image.id) : 0;
  refuseRootSize(wanted, least, ref);
  const usual = defaults.rootMiB.value ?? 0;
  const rootMiB = wanted ?? (least !== null && usual > least ? usual : undefined);
  return rootMiB === undefined ? {} : { rootMiB };
}
