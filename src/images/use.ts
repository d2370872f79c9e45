/**
 * Who uses an image: homes may share their images and know nothing of each other's VMs. Each VM has a link in the
 * image's directory to its own; one that leads nowhere any more says nothing.
 */
import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readlinkSync } from "node:fs";
import { mkdir, readdir, rm, symlink } from "node:fs/promises";
import { basename } from "node:path";
import { type Home, homeHandles, imageUse, imageUses, vmHandles } from "../home/handles.js";
import { BangerError } from "../lib/errors.js";
import type { ImageId, VmId } from "../model/model.js";

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;
const linkOf = (home: Home, imageId: ImageId, vmId: VmId): string =>
  imageUse(home, imageId, vmId, createHash("sha256").update(home.state).digest("hex").slice(0, 8));
/** Where nobody may write, nobody can delete either; and an image that is gone has no users. */
const inVain = ["EACCES", "EROFS", "EPERM", "ENOENT"];

/** The image cannot be deleted from here on, in whichever home. Running twice is success. */
export async function noteUse(home: Home, imageId: ImageId, vmId: VmId): Promise<void> {
  const link = linkOf(home, imageId, vmId);
  try {
    await mkdir(imageUses(home, imageId), { mode: 0o700 }).catch((error: unknown) => {
      if (codeOf(error) !== "EEXIST") throw error;
    });
    await symlink(vmHandles(home, vmId).directory, link);
  } catch (error) {
    if (![...inVain, "EEXIST"].includes(codeOf(error) ?? "")) throw error;
  }
}

/** The VM is gone, and so is its hold on whichever image it was made from. */
export async function forgetUse(home: Home, vmId: VmId): Promise<void> {
  const images = await readdir(homeHandles(home).images).catch(() => []);
  await Promise.all(images.map((id) => rm(linkOf(home, id, vmId), { force: true }).catch(() => undefined)));
}

/** Directories of other homes' VMs that are made from the image. What cannot be looked at is taken to be one. */
function usersElsewhere(home: Home, id: ImageId): string[] {
  const directory = imageUses(home, id);
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch (error) {
    if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return [];
    throw error;
  }
  return names.flatMap((name) => {
    try {
      const target = readlinkSync(`${directory}/${name}`);
      if (target === vmHandles(home, basename(target)).directory) return [];
      try {
        lstatSync(target);
      } catch (error) {
        if (codeOf(error) === "ENOENT") return [];
      }
      return [target];
    } catch {
      return [];
    }
  });
}

/** @throws BangerError `image_in_use` while VMs of another home are made from it */
export function refuseUsed(home: Home, id: ImageId): void {
  const [user] = usersElsewhere(home, id);
  if (user === undefined) return;
  const state = user.replace(/\/banger\/vms\/[^/]+$/, "");
  throw new BangerError("image_in_use", `${id} is used by a VM of another home, ${user}`, {
    hint: `XDG_STATE_HOME=${state} banger vm list`,
    retry: "later",
  });
}
