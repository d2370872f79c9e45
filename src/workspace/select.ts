/** Which files of a work tree go to a guest: tracked ones, untracked ones when asked for, ignored ones never. */
import { lstatSync, type Stats } from "node:fs";
import { BangerError } from "../lib/errors.js";
import type { PathBytes } from "./host-git.js";
import type { Repository } from "./repository.js";

export interface Selection {
  /** Regular files and symlinks to carry, in git's order. */
  files: PathBytes[];
  /** Tracked, but not in the work tree now. */
  gone: PathBytes[];
  /** Directories of submodules that exist; a submodule whose `.git` exists too is checked out. */
  modules: { path: PathBytes; checkedOut: boolean }[];
  /** Carried, though git was told not to look at them: marked as unchanged, or as outside of a sparse checkout. */
  overlooked: PathBytes[];
  /** Untracked and not ignored, and left behind because nobody asked for them. */
  skippedUntracked: number;
  /** Repositories of their own in the work tree, which are not submodules: never copied. */
  embedded: PathBytes[];
}

/** An entry of `git ls-files -s -v`: tag, mode, object, stage. */
const entryPattern = /^(.) (\d+) ([0-9a-f]+) (\d)\t([\s\S]*)$/;
const gitlinkMode = "160000";
/** The tag of an entry outside of a sparse checkout, whose file is not missed. Small letters: assumed to be unchanged. */
const outsideTag = "S";

export interface IndexEntry {
  path: PathBytes;
  object: string;
  isModule: boolean;
  outside: boolean;
  overlooked: boolean;
}

/** The index as git lists it; a path with a merge conflict comes once for each of its stages. */
export async function readIndex(
  { git }: Repository,
  env: Record<string, string> = {},
): Promise<IndexEntry[]> {
  const lines = await git.list(["ls-files", "-z", "-s", "-v"], { env });
  return lines.map((line) => {
    const [, tag = "", mode, object = "", , path] = entryPattern.exec(line) ?? [];
    if (path === undefined) throw new BangerError("git_failed", "git ls-files: its list is not readable");
    const outside = tag.toUpperCase() === outsideTag;
    return {
      path,
      object,
      isModule: mode === gitlinkMode,
      outside,
      overlooked: outside || /[a-z]/.test(tag),
    };
  });
}

/** @throws BangerError `git_failed` */
export async function selectFiles(repository: Repository, includeUntracked: boolean): Promise<Selection> {
  const { git, top } = repository;
  const [entries, others] = await Promise.all([
    readIndex(repository),
    git.list(["ls-files", "-z", "--others", "--exclude-standard"]),
  ]);
  const look = workTree(top);
  const files = new Set<PathBytes>();
  const gone = new Set<PathBytes>();
  const overlookedFiles: PathBytes[] = [];
  const modules = new Map<PathBytes, boolean>();
  for (const { path, isModule, outside, overlooked } of entries) {
    const found = look(path);
    if (isModule) {
      if (found?.isDirectory()) modules.set(path, look(`${path}/.git`) !== undefined);
    } else if (isCarried(found)) {
      files.add(path);
      if (overlooked) overlookedFiles.push(path);
    } else if (!outside) gone.add(path);
  }
  const untracked = others.filter((path) => isCarried(look(path)));
  if (includeUntracked) for (const path of untracked) files.add(path);
  return {
    files: [...files],
    gone: [...gone],
    overlooked: overlookedFiles,
    modules: [...modules].map(([path, checkedOut]) => ({ path, checkedOut })),
    skippedUntracked: includeUntracked ? 0 : untracked.length,
    embedded: others.filter((path) => path.endsWith("/")),
  };
}

const isCarried = (found: Stats | undefined): boolean =>
  found !== undefined && (found.isFile() || found.isSymbolicLink());

/**
 * What is at a path of the work tree. Behind a symlink there is nothing, as for git: it leads to files that are not
 * the repository's, and may be ignored ones.
 */
function workTree(top: string): (path: PathBytes) => Stats | undefined {
  const prefix = Buffer.from(`${top}/`).toString("latin1");
  const stat = (path: PathBytes): Stats | undefined => {
    try {
      return lstatSync(Buffer.from(prefix + path, "latin1"), { throwIfNoEntry: false });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOTDIR") return undefined;
      throw error;
    }
  };
  const directories = new Map<PathBytes, boolean>();
  const isDirectory = (path: PathBytes): boolean => {
    const known = directories.get(path);
    if (known !== undefined) return known;
    const is = parentIsDirectory(path) && stat(path)?.isDirectory() === true;
    directories.set(path, is);
    return is;
  };
  const parentIsDirectory = (path: PathBytes): boolean => {
    const end = path.lastIndexOf("/");
    return end === -1 || isDirectory(path.slice(0, end));
  };
  return (path) => (parentIsDirectory(path) && !path.endsWith("/") ? stat(path) : undefined);
}

/** A path for people: as it is, or quoted as git quotes it when it would not be one readable line. */
export function shownPath(path: PathBytes): string {
  const bytes = Buffer.from(path, "latin1");
  const text = bytes.toString("utf8");
  const plain = !/[\u0000-\u001f\u007f"\\\ufffd]/.test(text);
  if (plain) return text;
  const named: Record<string, string> = { "\n": "n", "\t": "t", "\r": "r", '"': '"', "\\": "\\" };
  const quoted = path.replace(/[^ !#-[\]-~]/g, (byte) => {
    const name = named[byte];
    return `\\${name ?? byte.charCodeAt(0).toString(8).padStart(3, "0")}`;
  });
  return `"${quoted}"`;
}
