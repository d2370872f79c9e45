/** Removes a directory that somebody else may change at the same time: from descriptor to descriptor, never by path. */
import { closeSync, constants, openSync, readFileSync, rmdirSync, unlinkSync } from "node:fs";
import { opendir } from "node:fs/promises";
import { pathOnly } from "../libc.js";
import { pathOf } from "../paths.js";
import { HostFailure } from "../refusal.js";

const entry = (dir: number, name: Buffer): Buffer => Buffer.concat([Buffer.from(`${pathOf(dir)}/`), name]);

/** A mere handle on a directory in an open one. @throws ENOTDIR for a symlink, whatever it leads to */
export const openDirectoryIn = (dir: number, name: Buffer): number =>
  openSync(entry(dir, name), pathOnly | constants.O_DIRECTORY | constants.O_NOFOLLOW);

/** The mount that an open directory belongs to: two of one file system have one device number, but not one mount. */
const mountOf = (fd: number): string | undefined =>
  /^mnt_id:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1];

/** Deeper than anything that is made in a jail, and shallow enough to hold a descriptor for each level. */
const deepest = 32;
/** Somebody who adds files as fast as they are removed is not waited for. */
const attempts = 5;

const code = (error: unknown) => (error as NodeJS.ErrnoException).code ?? "";

/**
 * The file or the directory of that name is gone, with all that is in it. A mount is never gone into, and nothing that
 * is mounted over goes away: the kernel has each call begin at an open directory and end at one name in it.
 *
 * @throws HostFailure `tree_mounted`, `tree_deep`, `tree_busy`; the signal's reason
 */
export async function removeTree(dir: number, name: Buffer, signal: AbortSignal, level = 0): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    signal.throwIfAborted();
    if (unlinked(dir, name)) return;
    if (level === deepest) throw new HostFailure("tree_deep", "directories are nested too deeply");
    await emptyDirectory(dir, name, signal, level);
    try {
      rmdirSync(entry(dir, name));
      return;
    } catch (error) {
      if (code(error) === "ENOENT") return;
      if (code(error) === "EBUSY") throw mounted(name);
      if (!["ENOTEMPTY", "ENOTDIR"].includes(code(error))) throw error;
      if (attempt === attempts)
        throw new HostFailure("tree_busy", `files keep appearing in ${name} while it is being removed`);
    }
  }
}

const mounted = (name: Buffer) => new HostFailure("tree_mounted", `something is mounted over ${name}`);

/** False for a directory. Linux says EISDIR for one, POSIX EPERM. */
function unlinked(dir: number, name: Buffer): boolean {
  try {
    unlinkSync(entry(dir, name));
    return true;
  } catch (error) {
    if (code(error) === "ENOENT") return true;
    if (code(error) === "EBUSY") throw mounted(name);
    if (code(error) === "EISDIR") return false;
    throw error;
  }
}

async function emptyDirectory(dir: number, name: Buffer, signal: AbortSignal, level: number): Promise<void> {
  let fd: number;
  try {
    fd = openDirectoryIn(dir, name);
  } catch (error) {
    // It has been replaced or taken away since; the next attempt sees by what.
    if (["ENOENT", "ENOTDIR"].includes(code(error))) return;
    throw error;
  }
  try {
    if (mountOf(fd) !== mountOf(dir)) throw mounted(name);
    for await (const { name: each } of await opendir(pathOf(fd), { encoding: "buffer" as BufferEncoding })) {
      await removeTree(fd, each as unknown as Buffer, signal, level + 1);
    }
  } finally {
    closeSync(fd);
  }
}
