/** Where repositories are in a guest. */

export const defaultGuestPath = "/root/repo";

/** Where a checkout is unpacked: beside its place, so that it can be moved there whole. */
export function unpackPath(guestPath: string): string {
  const slash = guestPath.lastIndexOf("/");
  return `${guestPath.slice(0, slash)}/.${guestPath.slice(slash + 1)}.banger`;
}
