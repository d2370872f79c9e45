/** What will be in a guest checkout: decided on the host, before anything is touched. */
import { BangerError } from "../lib/errors.js";
import { GitError, type PathBytes } from "./host-git.js";
import { openRepository, type Repository, readRepository } from "./repository.js";
import { type Selection, selectFiles } from "./select.js";

export const modes = ["shallow_overlay", "full_copy", "metadata_only"] as const;
export type Mode = (typeof modes)[number];

export interface WorkspaceOptions {
  mode: Mode;
  /** A new branch for the guest only, at `from` or, without it, where HEAD is. */
  branch?: string | undefined;
  from?: string | undefined;
  includeUntracked: boolean;
}

/** A repository with its work tree, or a submodule of one. */
export interface Checkout {
  repository: Repository;
  /** "" or, for a submodule, its path below the top with a slash at the end. */
  prefix: PathBytes;
  selection: Selection;
}

export interface Plan {
  options: WorkspaceOptions;
  repository: Repository;
  commit: string | undefined;
  /** Full name of the branch in the guest; undefined for a detached HEAD. */
  branch: string | undefined;
  /** The work tree as it is, submodules behind it; none when the commit is carried without the work tree's state. */
  checkouts: Checkout[];
  /** Every file, in order. */
  files: PathBytes[];
  skippedUntracked: number;
  embedded: PathBytes[];
}

/** @throws BangerError for a path or reference that is none, and for submodules that the mode cannot carry */
export async function planWorkspace(
  path: string,
  options: WorkspaceOptions,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<Plan> {
  const repository = await openRepository(path, env, signal);
  const commit = await commitOf(repository, options.from);
  const branch = await branchOf(repository, options.branch);
  const common = { options, repository, commit, branch };
  if (options.mode === "metadata_only" || commit !== repository.commit) {
    return { ...common, ...(await planCommit(repository, commit, options)) };
  }
  const selection = await selectFiles(repository, options.includeUntracked);
  if (options.mode !== "full_copy") refuseModules(selection.modules.map((each) => each.path));
  const checkouts = await withModules({ repository, prefix: "", selection }, options.includeUntracked);
  return {
    ...common,
    checkouts,
    files: checkouts.flatMap((each) => each.selection.files.map((file) => each.prefix + file)),
    skippedUntracked: checkouts.reduce((sum, each) => sum + each.selection.skippedUntracked, 0),
    embedded: checkouts.flatMap((each) => each.selection.embedded.map((file) => each.prefix + file)),
  };
}

async function commitOf({ git, commit }: Repository, from: string | undefined): Promise<string | undefined> {
  if (from === undefined) return commit;
  const found = await git.lineIf(["rev-parse", "-q", "--verify", "--end-of-options", `${from}^{commit}`]);
  if (found !== undefined) return found;
  throw new BangerError("unknown_revision", `--from: "${from}" is not a commit of this repository`, {
    hint: "git log --oneline --all",
  });
}

async function branchOf({ git, branch }: Repository, wanted: string | undefined) {
  if (wanted === undefined) return branch;
  try {
    return `refs/heads/${await git.line(["check-ref-format", "--branch", wanted])}`;
  } catch (error) {
    if (!(error instanceof GitError)) throw error;
    throw new BangerError("bad_branch", `--branch: "${wanted}" cannot be the name of a branch`, {
      hint: "--branch my-change",
    });
  }
}

async function planCommit({ git }: Repository, commit: string | undefined, { mode }: WorkspaceOptions) {
  const listed = commit === undefined ? [] : await git.list(["ls-tree", "-r", "-z", commit]);
  const split = (line: string) => ({
    isModule: line.startsWith("160000"),
    path: line.slice(line.indexOf("\t") + 1),
  });
  const entries = listed.map(split);
  const modules = entries.filter(({ isModule }) => isModule).map(({ path }) => path);
  if (mode !== "full_copy") refuseModules(modules);
  else if (modules.length > 0) {
    throw new BangerError(
      "needs_work_tree",
      "submodules are carried as they are checked out, which is not at --from",
      {
        hint: "check it out first: git switch --recurse-submodules, then leave --from away",
      },
    );
  }
  const files = entries.map(({ path }) => path);
  return { checkouts: [], files, skippedUntracked: 0, embedded: [] };
}

function refuseModules(paths: readonly PathBytes[]): void {
  if (paths.length === 0) return;
  const names = paths.slice(0, 3).join(", ") + (paths.length > 3 ? ", …" : "");
  throw new BangerError(
    "needs_full_copy",
    `the repository has submodules (${names}), which need a full copy`,
    {
      hint: "banger vm workspace prepare REF PATH --mode full_copy",
    },
  );
}

/** The checkout, then every submodule below it that is checked out. */
async function withModules(checkout: Checkout, includeUntracked: boolean): Promise<Checkout[]> {
  const found: Checkout[] = [checkout];
  const { git, top } = checkout.repository;
  for (const { path, checkedOut } of checkout.selection.modules) {
    if (!checkedOut) continue;
    const directory = `${top}/${Buffer.from(path, "latin1").toString("utf8")}`;
    const repository = await readRepository(git.in(directory), directory);
    const selection = await selectFiles(repository, includeUntracked);
    const prefix = `${checkout.prefix}${path}/`;
    found.push(...(await withModules({ repository, prefix, selection }, includeUntracked)));
  }
  return found;
}
