/** The repository that a path of the host lies in: its top directory, where its HEAD is, and its settings. */
import { type Stats, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { BangerError } from "../lib/errors.js";
import { GitError, HostGit, type PathBytes, unusable } from "./host-git.js";

export interface Repository {
  /** Runs in the top directory of the work tree. */
  git: HostGit;
  top: string;
  /** The directory that was asked for, below the top: "" or "sub/". */
  below: PathBytes;
  /** Full name of the branch that HEAD is on; undefined when it is detached. */
  branch: string | undefined;
  /** HEAD's commit; undefined before the first one. */
  commit: string | undefined;
  /** Settings in effect, the user's included, by lower-case key; the last value where there are many. */
  settings: ReadonlyMap<string, string>;
}

const notARepository = (path: string, why: string): BangerError =>
  new BangerError("not_a_repository", `${path} ${why}`, {
    hint: "give a path in the work tree of a git repository; for other directories: tar c DIR | banger vm exec REF -- tar x",
  });

/** @throws BangerError `not_a_repository`, `git_missing`, `git_failed` */
export async function openRepository(
  path: string,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<Repository> {
  const git = new HostGit(directoryOf(path), env, signal);
  const { bare, inside, top, below } = await locate(git, path);
  if (bare) throw notARepository(path, "is in a bare repository, which has no work tree");
  if (!inside) throw notARepository(path, "is inside of a .git directory");
  return { ...(await readRepository(git.in(top), top)), below };
}

/** The current directory below the top of its work tree, "sub/"; "" for the top, and outside of any. */
export async function belowTop(env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<string> {
  try {
    return (await new HostGit(".", env, signal).lineIf(["rev-parse", "--show-prefix"])) ?? "";
  } catch (error) {
    if (error instanceof BangerError) return "";
    throw error;
  }
}

/** Reads the repository whose top directory is known. */
export async function readRepository(git: HostGit, top: string): Promise<Repository> {
  const [branch, commit, settings] = await Promise.all([
    git.lineIf(["symbolic-ref", "-q", "HEAD"]),
    git.lineIf(["rev-parse", "-q", "--verify", "HEAD^{commit}"]),
    readSettings(git),
  ]);
  return { git, top, below: "", branch, commit, settings };
}

/** @throws BangerError `cwd_unusable` for a path that this user may not look at, or that leads nowhere */
function lookAt(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw unusable(path, error as NodeJS.ErrnoException);
  }
}

function directoryOf(path: string): string {
  const whole = resolve(path);
  const found = lookAt(whole);
  if (found === undefined) throw notARepository(path, "does not exist");
  return found.isDirectory() ? whole : dirname(whole);
}

async function locate(git: HostGit, path: string) {
  try {
    const [bare, inside] = (
      await git.line(["rev-parse", "--is-bare-repository", "--is-inside-work-tree"])
    ).split("\n");
    const usable = bare === "false" && inside === "true";
    const top = usable ? await git.line(["rev-parse", "--show-toplevel"]) : "";
    const below = usable ? (await git.run(["rev-parse", "--show-prefix"])).toString("latin1") : "";
    return { bare: bare === "true", inside: inside === "true", top, below: below.replace(/\n$/, "") };
  } catch (error) {
    if (error instanceof GitError && /not a git repository/.test(error.stderr)) {
      throw notARepository(path, "is not in a git repository");
    }
    throw error;
  }
}

async function readSettings(git: HostGit): Promise<Map<string, string>> {
  const entries = (await git.run(["config", "-z", "--list"])).toString("utf8").split("\0").slice(0, -1);
  return new Map(
    entries.map((entry): [string, string] => {
      const end = entry.indexOf("\n");
      return end === -1 ? [entry, "true"] : [entry.slice(0, end), entry.slice(end + 1)];
    }),
  );
}
