/** Where repositories are in a guest. */
import { posix } from "node:path";
import type { Plan } from "./plan.js";

export const defaultGuestPath = "/root/repo";

/** Where a checkout is unpacked: beside its place, so that it can be moved there whole. */
export function unpackPath(guestPath: string): string {
  const slash = guestPath.lastIndexOf("/");
  return `${guestPath.slice(0, slash)}/.${guestPath.slice(slash + 1)}.banger`;
}

/** Where work begins in a guest: in the directory that was asked for, where it is carried, else at the checkout's top. */
export function startDirectory({ repository: { below }, files }: Plan, guestPath: string): string {
  const name = Buffer.from(below, "latin1").toString("utf8");
  const carried = below !== "" && files.some((file) => file.startsWith(below));
  return carried && !name.includes("\ufffd") ? posix.join(guestPath, name.slice(0, -1)) : guestPath;
}
