/** Walks from / to a VM's jail through directories that root alone can change, and makes those that are missing. */
import { chmodSync, closeSync, constants, fstatSync, mkdirSync } from "node:fs";
import { atWorkingDirectory, openat2, pathOnly, resolve } from "../libc.js";
import { isNormalPath, pathOf } from "../paths.js";
import { Refusal } from "../refusal.js";

const directory = pathOnly | constants.O_DIRECTORY;
const confined = resolve.beneath | resolve.noSymlinks | resolve.noMagicLinks;

/**
 * A descriptor of the directory at `path`. Only root can have put anything where its components are, so that the path
 * names the same directory for jailer later on.
 * @throws Refusal `normal-path`, `no-symlink`, `root-owned`, `root-writable`; ENOENT
 */
export const openPlace = (path: string): number => walk(path, () => {});

/** The same, but what is missing is made, for everybody to pass through: the owner's sockets lie below. */
export const makePlace = (path: string): number =>
  walk(path, (above, name) => {
    try {
      mkdirSync(`${pathOf(above)}/${name}`, { mode: 0o700 });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") return;
      throw error;
    }
    const made = openat2(above, name, constants.O_RDONLY | constants.O_DIRECTORY, 0, confined);
    try {
      // Whatever the umask of the helper's unit is.
      chmodSync(pathOf(made), 0o755);
    } finally {
      closeSync(made);
    }
  });

function walk(path: string, prepare: (above: number, name: string) => void): number {
  if (!isNormalPath(path))
    throw new Refusal("normal-path", `${JSON.stringify(path)} is not a normalized path`);
  let fd = openat2(atWorkingDirectory, "/", directory, 0, 0n);
  let here = "";
  for (const name of path.slice(1).split("/")) {
    const above = fd;
    here += `/${name}`;
    try {
      prepare(above, name);
      fd = openat2(above, name, directory, 0, confined);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ELOOP")
        throw new Refusal("no-symlink", `${here} is a symlink`);
      throw error;
    } finally {
      closeSync(above);
    }
    judge(fd, here);
  }
  return fd;
}

function judge(fd: number, path: string): void {
  const { uid, mode } = fstatSync(fd);
  if (uid === 0 && (mode & 0o022) === 0) return;
  closeSync(fd);
  if (uid !== 0) throw new Refusal("root-owned", `${path} belongs to uid ${uid}`, `chown root ${path}`);
  throw new Refusal("root-writable", `${path} is writable by users other than root`, `chmod go-w ${path}`);
}
