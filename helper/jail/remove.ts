/** Takes a VM's jail away, its control group first: as long as the directory is there, a look finds the rest. */
import { closeSync } from "node:fs";
import { basename, dirname } from "node:path";
import { vmHandles } from "../../src/home/handles.js";
import type { VmId } from "../../src/model/model.js";
import type { HelperContext } from "../method.js";
import { removeCgroup } from "./cgroup.js";
import { unmountBelow } from "./mounts.js";
import { openPlace } from "./place.js";
import { removeTree } from "./tree.js";

/** Nobody may run in there any more. @throws HostFailure, Refusal of place.ts */
export async function removeJail(vmId: VmId, { metadata, signal }: HelperContext): Promise<void> {
  const { jail } = vmHandles(metadata.home, vmId);
  await removeCgroup(vmId, metadata);
  const name = basename(jail);
  let parent: number;
  try {
    parent = openPlace(dirname(jail));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  try {
    unmountBelow(dirname(jail), name);
    await removeTree(parent, Buffer.from(name), signal);
  } finally {
    closeSync(parent);
  }
}
