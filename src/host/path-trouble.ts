/** Why a place of banger's cannot be used: the part of its path that is the cause, and what puts that right. */
import { accessSync, constants, lstatSync, readFileSync, type Stats, statSync } from "node:fs";
import { userInfo } from "node:os";
import { dirname } from "node:path";
import { BangerError } from "../lib/errors.js";

export interface PathTrouble {
  cause: string;
  hint: string;
}

const nameOf = (uid: number): string => {
  try {
    const entry = readFileSync("/etc/passwd", "utf8")
      .split("\n")
      .find((line) => line.split(":")[2] === `${uid}`);
    return entry?.split(":")[0] ?? `user ${uid}`;
  } catch {
    return `user ${uid}`;
  }
};

/** This user's home directory as the system has it; undefined for a uid without an entry. */
const ownHome = (): string | undefined => {
  try {
    return userInfo().homedir;
  } catch {
    return undefined;
  }
};

/** The path and its parents, from the root down. */
function parts(path: string): string[] {
  const parent = dirname(path);
  return parent === path ? [path] : [...parts(parent), path];
}

function look(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

function may(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}

/** Who keeps this user out, and where. */
function denied(path: string): PathTrouble {
  const there = parts(path).filter((part) => look(part) !== undefined);
  const shut = there.find((part) => look(part)?.isDirectory() && !may(part, constants.X_OK));
  const place = shut ?? there.at(-1) ?? "/";
  const uid = look(place)?.uid ?? 0;
  const me = process.getuid?.() ?? 0;
  const verb = shut === undefined ? "write to" : "enter";
  if (uid === me)
    return { cause: `its mode does not let you ${verb} ${place}`, hint: `chmod u+rwx ${place}` };
  const cause = `${place} belongs to ${nameOf(uid)}, and you (${nameOf(me)}) have no permission to ${verb} it`;
  const home = ownHome();
  if (home !== undefined && !`${path}/`.startsWith(`${home}/`))
    return {
      cause,
      hint: `export HOME=${home}; unset XDG_STATE_HOME XDG_DATA_HOME XDG_CACHE_HOME XDG_CONFIG_HOME`,
    };
  return { cause, hint: `sudo chown -R ${me} ${place}` };
}

/** The first part of the path that is something else than a directory. */
const notDirectory = (path: string): string =>
  parts(path).find((part) => look(part)?.isDirectory() === false) ?? path;

const isLoop = (path: string): boolean => {
  try {
    return lstatSync(path).isSymbolicLink() && look(path) === undefined;
  } catch {
    return false;
  }
};

/** What an error of the host at `path` means to its user; undefined for one that says nothing about the place. */
export function pathTrouble(path: string, { code }: NodeJS.ErrnoException): PathTrouble | undefined {
  switch (code) {
    case "EACCES":
    case "EPERM":
      return denied(path);
    case "EROFS":
      return {
        cause: `the file system of ${path} is mounted read-only`,
        hint: "export XDG_STATE_HOME=/a/place/that/can/be/written",
      };
    case "ENOSPC":
    case "EDQUOT":
      return { cause: `no space is left on the file system of ${path}`, hint: `df -h ${dirname(path)}` };
    case "ENOTDIR":
    case "EEXIST":
      return {
        cause: `${notDirectory(path)} is not a directory`,
        hint: `ls -ld ${notDirectory(path)}; or: export XDG_STATE_HOME=/another/place`,
      };
    case "ELOOP":
    case "ENOENT": {
      const link = parts(path).find(isLoop);
      if (link === undefined) return undefined;
      return { cause: `${link} is a dangling symlink`, hint: `ls -l ${link}` };
    }
    case "EFBIG":
      return { cause: "the limit on the size of files (ulimit -f) is reached", hint: "ulimit -f unlimited" };
    case "EMFILE":
      return { cause: "the limit on open files (ulimit -n) is reached", hint: "ulimit -n 4096" };
    case "ENAMETOOLONG":
      return { cause: "a part of it is too long", hint: "export XDG_STATE_HOME=/a/shorter/path" };
    default:
      return undefined;
  }
}

/** `home_unwritable`, with the cause. */
export function unwritable(path: string, cause: unknown): BangerError {
  const trouble = pathTrouble(path, cause as NodeJS.ErrnoException);
  return new BangerError(
    "home_unwritable",
    `cannot write ${path}: ${trouble?.cause ?? (cause as Error).message}`,
    {
      hint: trouble?.hint ?? `ls -ld ${dirname(path)} ${path}`,
      cause,
    },
  );
}
