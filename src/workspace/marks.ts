/** What prepare leaves in a guest checkout's `.git`, and export reads there: the state that it began in. */

export const marks = {
  directory: "banger",
  /** The index of everything that was carried; what differs from it was changed in the guest. */
  index: "banger/index",
  /** The tree of the same. */
  tree: "banger/tree",
  /** The commit that was checked out; empty before the first one. */
  commit: "banger/commit",
  /** Every commit that a ref or HEAD was at. */
  tips: "banger/tips",
  /** Paths of the submodules that were carried, one a line; missing without any. */
  modules: "banger/modules",
  /** The attributes that the repository's user sets for all repositories. */
  attributes: "banger/attributes",
  /** A prepare is replacing the files, or broke off while it did: they are not to be compared with anything. */
  replacing: "banger/replacing",
  /** Begins the names of the directories that a run of a script has for itself. */
  runs: "banger/run",
  /** Keeps the tree's objects. */
  ref: "refs/banger/base",
} as const;

/** Below the home of the guest's user: names the checkout that was put there last, for what is run without a directory. */
export const repositoryMark = ".local/state/banger/repository";
