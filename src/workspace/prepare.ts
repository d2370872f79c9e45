/** Puts a planned checkout into a guest: work tree and history as two archives, which take their place together. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, posix, resolve } from "node:path";
import { BangerError } from "../lib/errors.js";
import { alone } from "./alone.js";
import { type Archive, archiveFiles, archiveTrees, type Host } from "./archive.js";
import { type Guest, type GuestEnd, scriptFailed } from "./guest.js";
import { installGit } from "./guest-packages.js";
import { unpackPath } from "./guest-path.js";
import type { PathBytes } from "./host-git.js";
import type { Checkout, Plan } from "./plan.js";
import { checkScript, commitScript, discardScript, refusal, unpackScript } from "./scripts.js";
import { stageGitDirectory } from "./stage.js";

export interface Placement {
  guestPath: string;
  readonly: boolean;
  /** Where the repository's history is packed when the directory for temporary files cannot be used. */
  fallbackScratch: string;
  /** Hears what the user should know before the work begins. */
  warn?: (sentence: string) => void;
}

/**
 * @throws BangerError `workspace_busy`, `workspace_foreign`, `workspace_changed`, `guest_failed`, `tar_failed`,
 * `git_failed`
 */
export function placeWorkspace(plan: Plan, guest: Guest, placement: Placement): Promise<void> {
  const { guestPath } = placement;
  const unpacked = unpackPath(guestPath);
  return alone(guest, { guestPath, unpacked }, () => place(plan, guest, placement, unpacked));
}

async function place(
  plan: Plan,
  guest: Guest,
  { guestPath, readonly, fallbackScratch, warn }: Placement,
  unpacked: string,
): Promise<void> {
  const looked = await guest.run(checkScript, [guestPath, unpacked]);
  refuse(guest, looked, guestPath);
  if (/^installer /m.test(looked.stderr)) {
    warn?.(`the guest has no git, which an export needs; to install it: ${installGit(guest, looked.stderr)}`);
  }
  const { git } = plan.repository;
  const host: Host = { searchPath: git.hostEnv["PATH"] ?? "", signal: git.signal };
  const scratch = makeScratch(fallbackScratch);
  try {
    const parts =
      plan.checkouts.length > 0 ? workTreeParts(plan, scratch, host) : commitParts(plan, scratch, host);
    const results = await Promise.allSettled(parts.map((part) => unpack(guest, part, unpacked)));
    for (const result of results) if (result.status === "rejected") throw result.reason;
  } catch (error) {
    await guest.run(discardScript, [unpacked]).catch(() => undefined);
    throw error;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  const committed = await guest.run(commitScript, [guestPath, unpacked, readonly ? "readonly" : ""]);
  if (committed.status !== 0) throw scriptFailed(guest, `placing ${guestPath}`, committed);
}

/** A directory of this run's own. TMPDIR may name what is not there, or what nobody may write to. */
function makeScratch(fallback: string): string {
  try {
    return mkdtempSync(join(tmpdir(), "banger-workspace-"));
  } catch {
    mkdirSync(fallback, { recursive: true });
    return mkdtempSync(join(fallback, "workspace-"));
  }
}

function refuse(guest: Guest, end: GuestEnd, guestPath: string): void {
  const { status } = end;
  if (status === 0) return;
  if (status === refusal.foreign) {
    throw new BangerError(
      "workspace_foreign",
      `${guestPath} exists in the guest, and banger did not put it there`,
      {
        hint: `another place with --guest-path, or: banger vm exec ${guest.name} -- rm -r ${guestPath}`,
      },
    );
  }
  if (status === refusal.changed) {
    throw new BangerError("workspace_changed", `${guestPath} was changed in the guest, and would be lost`, {
      hint: [
        `take it home with: banger vm workspace export ${guest.name} -o FILE`,
        `then: banger vm exec ${guest.name} -- rm -r ${guestPath}`,
      ].join("; "),
    });
  }
  if (status === refusal.noGit) {
    throw new BangerError(
      "guest_without_git",
      `the guest has no git, which tells whether ${guestPath} was changed`,
      { hint: installGit(guest, end.stderr) },
    );
  }
  if (status === refusal.noTar) {
    throw new BangerError("guest_without_tar", "the guest has no tar, which unpacks the repository", {
      hint: "install it there with the image's package manager, or use another image: banger image list",
    });
  }
  throw scriptFailed(guest, `looking at ${guestPath}`, end);
}

/** An archive, made when its turn comes, and the directory below the checkout that it is unpacked into. */
interface Part {
  into: string;
  make: () => Promise<Archive>;
}

/** The guest unpacks files while the host still packs history. */
function workTreeParts({ checkouts, options, branch, commit }: Plan, scratch: string, host: Host): Part[] {
  const [main, ...modules] = checkouts as [Checkout, ...Checkout[]];
  const files = checkouts.map(({ repository, prefix, selection }): Part => {
    const emptyModules = selection.modules.filter((each) => !each.checkedOut).map(({ path }) => path);
    const paths = [...selection.files, ...emptyModules];
    return { into: textOf(prefix), make: async () => archiveFiles(repository.top, paths, host) };
  });
  const history = async () => {
    await Promise.all(
      checkouts.map(async ({ repository, prefix, selection }) => {
        const isMain = prefix === "";
        const index = await repository.git.line(["rev-parse", "--git-path", "index"]);
        await stageGitDirectory({
          repository,
          commit: isMain ? commit : repository.commit,
          branch: isMain ? branch : repository.branch,
          wholeHistory: options.mode === "full_copy",
          index: resolve(repository.top, index),
          selection,
          modules: isMain ? modules.map((each) => each.prefix.slice(0, -1)) : [],
          gitDirectory: join(scratch, textOf(prefix), ".git"),
        });
      }),
    );
    return archiveTrees(
      scratch,
      [main, ...modules].map(({ prefix }) => `${prefix}.git`),
      host,
    );
  };
  return [...files, { into: "", make: history }];
}

const textOf = (path: PathBytes): string => Buffer.from(path, "latin1").toString("utf8");

/** git itself writes the commit's files, to a place of their own: the user's work tree stays as it is. */
function commitParts({ repository, commit, branch, options }: Plan, scratch: string, host: Host): Part[] {
  const { git } = repository;
  const tree = join(scratch, "tree");
  const index = join(scratch, "index");
  const checkedOut = (async () => {
    mkdirSync(tree);
    const what = commit === undefined ? ["--empty"] : ["--reset", "-u", commit];
    // Every file of the commit, as was planned, also where a sparse checkout has only some of them.
    const all = ["-c", "core.sparseCheckout=false", "--work-tree", tree];
    await git.run([...all, "read-tree", ...what], { env: { GIT_INDEX_FILE: index } });
  })();
  checkedOut.catch(() => undefined);
  const files = async () => {
    await checkedOut;
    const names = readdirSync(tree, { encoding: "latin1" });
    return archiveTrees(tree, names, host);
  };
  const history = async () => {
    await checkedOut;
    await stageGitDirectory({
      repository,
      commit,
      branch,
      wholeHistory: options.mode === "full_copy",
      index,
      selection: undefined,
      modules: [],
      gitDirectory: join(scratch, ".git"),
    });
    return archiveTrees(scratch, [".git"], host);
  };
  return [
    { into: "", make: files },
    { into: "", make: history },
  ];
}

async function unpack(guest: Guest, { into, make }: Part, directory: string): Promise<void> {
  const { stream, whole } = await make();
  const end = await guest.run(unpackScript, [posix.join(directory, into)], { stdin: stream });
  if (end.status !== 0) {
    stream.destroy();
    throw scriptFailed(guest, "unpacking", end);
  }
  // The guest stops reading at the archive's end, behind which there is padding.
  stream.resume();
  await whole;
}
