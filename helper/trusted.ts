/** Opens what root alone can have put where it is: programs that the helper runs, and its own metadata. */
import { closeSync, constants, fstatSync } from "node:fs";
import { atWorkingDirectory, openat2, pathOnly, resolve } from "./libc.js";
import { isNormalPath } from "./paths.js";
import { Refusal } from "./refusal.js";

const writableByOthers = 0o022;

/**
 * A descriptor of the regular file at `path`, of which every component from / on belongs to root, is not a symlink and can
 * be written by root alone. The walk goes from descriptor to descriptor: what was judged is what is opened.
 * @throws Refusal `normal-path`, `no-symlink`, `root-owned`, `root-writable`, `regular-file`; else the kernel's error
 */
export function openTrusted(path: string, flags: number): number {
  const fd = walk(path, flags);
  if (fstatSync(fd).isFile()) return fd;
  closeSync(fd);
  throw new Refusal("regular-file", `${path} is not a regular file`);
}

/** The same for a directory, which is only looked at. @throws as above */
export const gateTrustedDirectory = (path: string): void => closeSync(walk(path, directory));

const directory = pathOnly | constants.O_DIRECTORY;

function walk(path: string, flags: number): number {
  if (!isNormalPath(path))
    throw new Refusal("normal-path", `${JSON.stringify(path)} is not a normalized path`);
  const names = path.slice(1).split("/");
  let fd = step(atWorkingDirectory, "/", "/", directory);
  for (const [index, name] of names.entries()) {
    const above = fd;
    try {
      const here = `/${names.slice(0, index + 1).join("/")}`;
      fd = step(above, name, here, index === names.length - 1 ? flags : directory);
    } finally {
      closeSync(above);
    }
  }
  return fd;
}

/** Opens one component and judges it; `path` is what people call it. */
function step(dir: number, name: string, path: string, flags: number): number {
  let fd: number;
  try {
    fd = openat2(dir, name, flags, 0, resolve.noSymlinks);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ELOOP") throw new Refusal("no-symlink", `${path} is a symlink`);
    throw Object.assign(error as Error, { path });
  }
  const { uid, mode } = fstatSync(fd);
  if (uid === 0 && (mode & writableByOthers) === 0) return fd;
  closeSync(fd);
  if (uid !== 0) throw new Refusal("root-owned", `${path} belongs to uid ${uid}`, `chown root ${path}`);
  throw new Refusal("root-writable", `${path} is writable by users other than root`, `chmod go-w ${path}`);
}

/** The same for a program, as a mere handle: it is run as /proc/self/fd/N. @throws also Refusal `executable` */
export function executable(path: string): number {
  const fd = openTrusted(path, pathOnly);
  if ((fstatSync(fd).mode & 0o111) !== 0) return fd;
  closeSync(fd);
  throw new Refusal("executable", `${path} is not a program`, `chmod +x ${path}`);
}
