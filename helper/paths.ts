/** Opens what lies below a directory of the owner's, who may change everything in there while the helper looks. */
import { type BigIntStats, closeSync, constants, fstatSync } from "node:fs";
import { basename, dirname } from "node:path";
import { atWorkingDirectory, openat2, pathOnly, resolve } from "./libc.js";
import { Refusal } from "./refusal.js";

const longestPath = 4096;

/** Whether it is absolute and names one place only one way: no empty, `.` or `..` component, no control character. */
export const isNormalPath = (path: string): boolean =>
  path.startsWith("/") && path.length < longestPath && areNormalNames(path.slice(1));

const areNormalNames = (relative: string): boolean =>
  relative
    .split("/")
    .every((name) => name !== "" && name !== "." && name !== ".." && !/[\0-\x1f\x7f]/.test(name));

/**
 * Opens `relative` below `root`, a home directory of metadata.home, and answers a descriptor that is closed on exec.
 * No component of either is a symlink, and nothing from `root` on lies on another file system than the directory
 * above it, which is root's: what the owner mounts in there (FUSE) could let the helper wait for ever.
 * `flags` are those of open(2), `pathOnly` for a mere handle; opening never waits (a FIFO, a lease).
 *
 * @throws Refusal `normal-path`, `no-symlink`, `one-file-system`; else the kernel's own error (ENOENT, ENOTDIR, …).
 */
export function openBelow(root: string, relative: string, flags: number, mode = 0o600): number {
  if (!isNormalPath(root) || root === "/" || (relative !== "" && !areNormalNames(relative)))
    throw new Refusal("normal-path", `${JSON.stringify(`${root}/${relative}`)} is not a normalized path`);
  const below = relative === "" ? basename(root) : `${basename(root)}/${relative}`;
  const path = relative === "" ? root : `${root}/${relative}`;
  const above = opened(dirname(root), () =>
    openat2(atWorkingDirectory, dirname(root), pathOnly | constants.O_DIRECTORY, 0, resolve.noSymlinks),
  );
  try {
    const confined = resolve.beneath | resolve.noSymlinks | resolve.noMagicLinks | resolve.noCrossing;
    return opened(path, () => openat2(above, below, quietly(flags), creates(flags) ? mode : 0, confined));
  } finally {
    closeSync(above);
  }
}

const creates = (flags: number): boolean => (flags & constants.O_CREAT) !== 0;

/**
 * With O_PATH, O_NOFOLLOW would answer a symlink's own descriptor instead of refusing it; without O_PATH it adds
 * nothing. O_PATH opens nothing that could wait, and takes no other flag.
 */
function quietly(flags: number): number {
  const plain = flags & ~constants.O_NOFOLLOW;
  return (plain & pathOnly) !== 0 ? plain : plain | constants.O_NONBLOCK | constants.O_NOCTTY;
}

function opened(path: string, open: () => number): number {
  try {
    return open();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ELOOP") throw new Refusal("no-symlink", `there is a symlink in ${path}`);
    if (code === "EXDEV") throw new Refusal("one-file-system", `${path} is on another file system`);
    throw Object.assign(error as Error, { path });
  }
}

export interface FileRule {
  /** Who may own it. */
  uids: readonly number[];
  /** How many names it has; any number when left out. A second name may lie where somebody else may write. */
  links?: number;
}

/**
 * What stands behind a descriptor, if it is a regular file that the rule allows; `what` names it for people.
 * @throws Refusal `regular-file`, `file-owner`, `file-links`
 */
export function gateFile(fd: number, what: string, rule: FileRule): BigIntStats {
  const found = fstatSync(fd, { bigint: true });
  if (!found.isFile()) throw new Refusal("regular-file", `${what} is not a regular file`);
  if (!rule.uids.includes(Number(found.uid)))
    throw new Refusal("file-owner", `${what} belongs to uid ${found.uid}`);
  if (rule.links !== undefined && found.nlink !== BigInt(rule.links))
    throw new Refusal("file-links", `${what} has ${found.nlink} names, not ${rule.links}`);
  return found;
}

/** The same for a directory. @throws Refusal `directory`, `file-owner` */
export function gateDirectory(fd: number, what: string, rule: Pick<FileRule, "uids">): BigIntStats {
  const found = fstatSync(fd, { bigint: true });
  if (!found.isDirectory()) throw new Refusal("directory", `${what} is not a directory`);
  if (!rule.uids.includes(Number(found.uid)))
    throw new Refusal("file-owner", `${what} belongs to uid ${found.uid}`);
  return found;
}

/** How the kernel lets a descriptor be named where only a path is taken; it never goes through the file's names. */
export const pathOf = (fd: number): string => `/proc/self/fd/${fd}`;
