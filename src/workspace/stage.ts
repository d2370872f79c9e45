/** Makes, on the host, the `.git` that a guest checkout gets: history as one pack, index, settings and marks. */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, resolve } from "node:path";
import { BangerError } from "../lib/errors.js";
import { type HostGit, nulTerminated, type PathBytes } from "./host-git.js";
import { marks } from "./marks.js";
import type { Repository } from "./repository.js";
import { readIndex, type Selection } from "./select.js";
import { guestSettings } from "./settings.js";

export interface StageRequest {
  repository: Repository;
  /** The commit that is checked out; undefined before the first one. */
  commit: string | undefined;
  /** Full name of the branch that is; undefined for a detached HEAD. */
  branch: string | undefined;
  /** All of the history with every branch and tag, or only the commit itself. */
  wholeHistory: boolean;
  /** Index of the checkout, which is copied. */
  index: string;
  /** What is carried of the work tree; undefined when the index describes it whole. */
  selection: Selection | undefined;
  modules: readonly PathBytes[];
  /** The `.git` to make. Beside it a directory `<it>.objects` is used meanwhile. */
  gitDirectory: string;
}

interface Staging extends StageRequest {
  /** git as it sees the staged index, with new objects kept out of the user's repository. */
  env: Record<string, string>;
}

export async function stageGitDirectory(request: StageRequest): Promise<void> {
  const { gitDirectory, repository } = request;
  for (const name of ["objects/pack", "refs/heads", "info", marks.directory]) {
    mkdirSync(`${gitDirectory}/${name}`, { recursive: true });
  }
  const staging = { ...request, env: await ownObjects(request) };
  await stageIndex(staging);
  const tree = await stageBase(staging);
  const refs = await readRefs(request);
  await packObjects(staging, tree, refs);
  await stageInfo(staging);
  writeRefs(staging, tree, refs);
  const attributes = existsSync(`${gitDirectory}/${marks.attributes}`);
  const settings = new Map(repository.settings);
  if (attributes) settings.set("core.attributesfile", `.git/${marks.attributes}`);
  else settings.delete("core.attributesfile");
  writeFileSync(`${gitDirectory}/config`, guestSettings(settings));
}

const places = async (git: HostGit, ...names: string[]): Promise<string[]> => {
  const found = await git.line(["rev-parse", ...names.flatMap((name) => ["--git-path", name])]);
  return found.split("\n").map((path) => resolve(git.directory, path));
};

/** Blobs of edited files are needed, and must not be left behind in the user's repository. */
async function ownObjects({
  repository: { git },
  gitDirectory,
}: StageRequest): Promise<Record<string, string>> {
  const objects = `${gitDirectory}.objects`;
  const [theirs] = (await places(git, "objects")) as [string];
  mkdirSync(`${objects}/info`, { recursive: true });
  writeFileSync(`${objects}/info/alternates`, `${theirs}\n`);
  return { GIT_OBJECT_DIRECTORY: objects };
}

/** With the time of its last write, by which git tells the files that may have changed right after it. */
function copyIndex(from: string, to: string): void {
  copyFileSync(from, to);
  const { mtimeMs } = statSync(from);
  const seconds = Math.floor(mtimeMs / 1000);
  utimesSync(to, seconds, seconds);
}

/** Whatever the user's index leans on (a shared index, a monitor, directories left closed) is not in a guest. */
const plainIndex = [
  ...["-c", "index.sparse=false", "-c", "core.splitIndex=false"],
  ...["-c", "core.untrackedCache=false", "-c", "core.fsmonitor=false"],
];

async function stageIndex({
  repository: { git },
  index,
  gitDirectory,
  env,
  selection,
}: Staging): Promise<void> {
  const own = `${gitDirectory}/index`;
  const run = { env: { ...env, GIT_INDEX_FILE: own } };
  if (!existsSync(index)) return void (await git.run(["read-tree", "--empty"], run));
  copyIndex(index, own);
  const flags = ["--no-split-index", "--no-untracked-cache", "--no-fsmonitor", "--force-write-index"];
  await git.run([...plainIndex, "update-index", ...flags], run);
  if (selection !== undefined) await forgetEdited(git, run);
}

/**
 * The host may know a file for edited by what a copy cannot keep, such as the time of its last change of status. The
 * guest is to look into it: its entry gets no size and no time.
 */
async function forgetEdited(git: HostGit, run: { env: Record<string, string> }): Promise<void> {
  const compare = [
    "diff-files",
    "-0",
    "-z",
    "--raw",
    "--no-abbrev",
    "--diff-filter=MT",
    "--ignore-submodules=all",
  ];
  const listed = await git.list([...plainIndex, ...compare], run);
  const entries = listed.flatMap((line, at) => {
    const [, mode, object] = /^:(\d+) \d+ ([0-9a-f]+) /.exec(line) ?? [];
    return at % 2 === 0 && mode !== undefined ? [`${mode} ${object} 0\t${listed[at + 1]}`] : [];
  });
  if (entries.length === 0) return;
  const input = nulTerminated(entries);
  await git.run([...plainIndex, "update-index", "-z", "--index-info"], { ...run, input });
}

/** Records the state that is carried, edits and untracked files included; yields its tree. */
async function stageBase({ repository: { git }, gitDirectory, env, selection }: Staging) {
  const base = `${gitDirectory}/${marks.index}`;
  copyIndex(`${gitDirectory}/index`, base);
  const run = { env: { ...env, GIT_INDEX_FILE: base } };
  if (selection === undefined) return git.line(["write-tree"], run);
  const update = async (flags: string[], paths: PathBytes[]) => {
    if (paths.length === 0) return;
    const input = nulTerminated(paths);
    await git.run([...plainIndex, "-c", "core.safecrlf=false", "update-index", ...flags, "-z", "--stdin"], {
      ...run,
      input,
    });
  };
  await update(["--force-remove"], selection.gone);
  await update(["--no-assume-unchanged"], selection.overlooked);
  await update(["--no-skip-worktree"], selection.overlooked);
  await update(["--add", "--replace"], selection.files);
  return git.line(["write-tree"], run);
}

interface Ref {
  name: string;
  object: string;
}

/** With what takes an object's place for git, where that object is carried. */
async function readRefs({ repository: { git }, wholeHistory, commit }: StageRequest): Promise<Ref[]> {
  if (!wholeHistory && commit === undefined) return [];
  const format = "--format=%(objectname) %(refname)";
  const all = ["refs/heads", "refs/tags", "refs/remotes", "refs/replace"];
  const text = await git.line(["for-each-ref", format, ...(wholeHistory ? all : [`refs/replace/${commit}`])]);
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => ({ object: line.slice(0, line.indexOf(" ")), name: line.slice(line.indexOf(" ") + 1) }));
}

/** Objects are taken as they are packed already: looking for better deltas would cost more than it saves. */
async function packObjects(staging: Staging, tree: string, refs: readonly Ref[]): Promise<void> {
  const { repository, commit, wholeHistory, gitDirectory, env } = staging;
  const { git } = repository;
  // The index of an added but never staged file names the empty blob, which need not exist.
  await git.run(["hash-object", "-t", "blob", "-w", "--stdin"], { env });
  const staged = await readIndex(repository, { ...env, GIT_INDEX_FILE: `${gitDirectory}/index` });
  const objects = staged.filter(({ isModule }) => !isModule).map(({ object }) => object);
  const shallow = !wholeHistory && commit !== undefined && (await hasParents(git, commit));
  const wanted = [
    ...(shallow ? [`--shallow ${commit}`] : []),
    ...(commit === undefined ? [] : [commit]),
    ...refs.map(({ object }) => object),
    tree,
    ...new Set(objects),
  ];
  const pack = ["-c", "pack.compression=1", "pack-objects", "--revs", "--quiet", "--window=0"];
  const input = wanted.map((line) => `${line}\n`).join("");
  await git.run([...pack, "--delta-base-offset", `${gitDirectory}/objects/pack/pack`], { input, env });
  if (shallow) writeFileSync(`${gitDirectory}/shallow`, `${commit}\n`);
}

/** By the commit itself: in a shallow clone git tells of none, and yet the guest would look for them. */
async function hasParents(git: HostGit, commit: string): Promise<boolean> {
  return /^[^\n]+\nparent /.test(await git.line(["cat-file", "commit", commit]));
}

/**
 * What is excluded and how attributes are set, by the repository and by its user, is part of what `git status` says.
 * The user's exclusions go before the repository's, which have the last word.
 */
async function stageInfo({ repository, gitDirectory, wholeHistory }: Staging): Promise<void> {
  const { git } = repository;
  const names = ["info/attributes", "info/sparse-checkout"];
  if (wholeHistory) names.push("shallow");
  const found = await places(git, "info/exclude", ...names);
  const [exclude, ...rest] = found as [string, ...string[]];
  for (const [at, name] of names.entries()) {
    const from = rest[at] as string;
    if (existsSync(from)) copyFileSync(from, `${gitDirectory}/${name}`);
  }
  const excluded = [await userFile(git, "core.excludesFile", "ignore"), readIf(exclude)];
  writeFileSync(`${gitDirectory}/info/exclude`, Buffer.concat(excluded));
  const attributes = await userFile(git, "core.attributesFile", "attributes");
  if (attributes.length > 0) writeFileSync(`${gitDirectory}/${marks.attributes}`, attributes);
}

/** A file of lines that git reads for this user, wherever the setting says that it is. */
async function userFile(git: HostGit, setting: string, name: string): Promise<Buffer> {
  const { XDG_CONFIG_HOME: config, HOME: home } = git.hostEnv;
  const usual = config || (home && `${home}/.config`);
  const set = await git.lineIf(["config", "--type=path", "--get", setting]);
  const path = set ?? (usual && `${usual}/git/${name}`);
  return path ? readIf(resolve(git.directory, path)) : Buffer.alloc(0);
}

/** Ends with its last line, and begins without the mark that some editors put there. What cannot be read git ignores. */
function readIf(path: string): Buffer {
  try {
    const text = readFileSync(path, "latin1").replace(/^\u00ef\u00bb\u00bf/, "");
    return Buffer.from(text === "" || text.endsWith("\n") ? text : `${text}\n`, "latin1");
  } catch {
    return Buffer.alloc(0);
  }
}

function writeRefs(staging: Staging, tree: string, refs: readonly Ref[]): void {
  const { gitDirectory, branch, commit, modules } = staging;
  const write = (name: string, text: string) => {
    mkdirSync(dirname(`${gitDirectory}/${name}`), { recursive: true });
    writeFileSync(`${gitDirectory}/${name}`, text);
  };
  const packed = new Map(refs.map(({ name, object }) => [name, object]));
  if (commit !== undefined && branch !== undefined) packed.set(branch, commit);
  packed.set(marks.ref, tree);
  const sorted = [...packed].sort(([a], [b]) => (a < b ? -1 : 1));
  write("packed-refs", sorted.map(([name, object]) => `${object} ${name}\n`).join(""));
  write("HEAD", branch === undefined ? `${commit}\n` : `ref: ${branch}\n`);
  write(marks.tree, `${tree}\n`);
  write(marks.commit, commit === undefined ? "" : `${commit}\n`);
  const tips = new Set([...(commit === undefined ? [] : [commit]), ...refs.map(({ object }) => object)]);
  write(marks.tips, [...tips].map((object) => `${object}\n`).join(""));
  if (modules.length === 0) return;
  if (modules.some((path) => path.includes("\n"))) {
    throw new BangerError("bad_submodule", "a submodule's path has a line break in it");
  }
  writeFileSync(
    `${gitDirectory}/${marks.modules}`,
    Buffer.from(modules.map((path) => `${path}\n`).join(""), "latin1"),
  );
}
