/** How large root disks are, as their guests see them. */
import { existsSync, statSync } from "node:fs";
import { type Home, imageHandles, type VmHandles } from "../../home/handles.js";
import type { ImageId } from "../../model/model.js";
import type { RootForm } from "./disks.js";

export interface RootSizes {
  bytes(handles: VmHandles, imageId: ImageId): number;
  /** What root disks over that image can only grow from; null where they cannot grow. */
  leastMiB(imageId: ImageId): number | null;
}

export function rootSizes(home: Home, root: RootForm): RootSizes {
  const ofImage = (id: ImageId) =>
    statSync(imageHandles(home, id).rootfs, { throwIfNoEntry: false })?.size ?? 0;
  return {
    bytes(handles, imageId) {
      const own = existsSync(root.path(handles)) ? root.bytes?.(handles) : undefined;
      return own ?? ofImage(imageId);
    },
    leastMiB: (imageId) => (root.bytes === undefined ? null : Math.ceil(ofImage(imageId) / 2 ** 20)),
  };
}
