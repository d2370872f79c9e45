/** The host's own `git`, run by argv in one directory, with bytes in and bytes out. */
import { spawn } from "node:child_process";
import { accessSync, constants, existsSync } from "node:fs";
import { pathTrouble } from "../host/path-trouble.js";
import { BangerError } from "../lib/errors.js";
import { shellQuote } from "../lib/shell.js";

/**
 * Bytes of a path, one character each (latin1): names in a repository need not be UTF-8, and strings, unlike
 * buffers, can be members of sets.
 */
export type PathBytes = string;

/** Listings of a million files fit in; what does not fit is not a repository for a VM. */
const maximumOutputBytes = 512 * 1024 * 1024;

/**
 * Would make git look at another repository or index than the one in its directory, or read names otherwise: a hook
 * that calls banger has some of them.
 */
const misleading = [
  "GIT_DIR",
  "GIT_WORK_TREE",
  "GIT_IMPLICIT_WORK_TREE",
  "GIT_INDEX_FILE",
  "GIT_OBJECT_DIRECTORY",
  "GIT_ALTERNATE_OBJECT_DIRECTORIES",
  "GIT_QUARANTINE_PATH",
  "GIT_COMMON_DIR",
  "GIT_CONFIG",
  "GIT_GRAFT_FILE",
  "GIT_SHALLOW_FILE",
  "GIT_REPLACE_REF_BASE",
  "GIT_ATTR_SOURCE",
  "GIT_NAMESPACE",
  "GIT_PREFIX",
  "GIT_LITERAL_PATHSPECS",
  "GIT_GLOB_PATHSPECS",
  "GIT_NOGLOB_PATHSPECS",
  "GIT_ICASE_PATHSPECS",
];

/** Reading a repository runs no program of its owner's. */
const quietly = ["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false"];

interface GitRun {
  input?: Buffer | string;
  env?: Record<string, string>;
}

export class HostGit {
  readonly #env: NodeJS.ProcessEnv;

  /** Runs in `directory`, with the user's own settings. */
  constructor(
    readonly directory: string,
    readonly hostEnv: NodeJS.ProcessEnv,
    readonly signal: AbortSignal,
  ) {
    const kept = Object.entries(hostEnv).filter(([name]) => !misleading.includes(name));
    this.#env = {
      ...Object.fromEntries(kept),
      LC_ALL: "C",
      GIT_OPTIONAL_LOCKS: "0",
      GIT_TERMINAL_PROMPT: "0",
      // What is carried are the objects as they are; replacements go beside them.
      GIT_NO_REPLACE_OBJECTS: "1",
      GIT_GRAFT_FILE: "/dev/null",
    };
  }

  /** The same git, elsewhere. */
  in(directory: string): HostGit {
    return new HostGit(directory, this.hostEnv, this.signal);
  }

  /** What git wrote. @throws BangerError `git_failed` with git's last line, `git_missing` */
  run(argv: readonly string[], { input = "", env = {} }: GitRun = {}): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const child = spawn("git", [...quietly, ...argv], {
        cwd: this.directory,
        env: { ...this.#env, ...env },
        signal: this.signal,
      });
      const chunks: Buffer[] = [];
      let size = 0;
      let stderr = "";
      child.on("error", (error) =>
        reject(this.signal.aborted ? this.signal.reason : startError(error, this.directory)),
      );
      child.stdout.on("data", (chunk: Buffer) => {
        size += chunk.length;
        if (size > maximumOutputBytes) child.kill("SIGKILL");
        else chunks.push(chunk);
      });
      child.stderr.setEncoding("utf8").on("data", (text: string) => {
        stderr = (stderr + text).slice(-4096);
      });
      child.stdin.on("error", () => undefined).end(input);
      child.on("close", (status) => {
        if (status === 0) resolve(Buffer.concat(chunks));
        else reject(this.signal.aborted ? this.signal.reason : endError(argv, status, stderr));
      });
    });
  }

  /** What git wrote, as one line. */
  async line(argv: readonly string[], run: GitRun = {}): Promise<string> {
    return (await this.run(argv, run)).toString("utf8").replace(/\n$/, "");
  }

  /** The same, or undefined when git ends with a failure. */
  async lineIf(argv: readonly string[]): Promise<string | undefined> {
    try {
      return await this.line(argv);
    } catch (error) {
      if (error instanceof GitError) return undefined;
      throw error;
    }
  }

  /** What git wrote with `-z`, cut at the zero bytes. */
  async list(argv: readonly string[], run: GitRun = {}): Promise<PathBytes[]> {
    return (await this.run(argv, run)).toString("latin1").split("\0").slice(0, -1);
  }
}

/** What a `-z --stdin` of git reads. */
export const nulTerminated = (paths: readonly PathBytes[]): Buffer =>
  Buffer.from(paths.map((path) => `${path}\0`).join(""), "latin1");

/** git ended with a failure. */
export class GitError extends BangerError {
  constructor(
    argv: readonly string[],
    readonly status: number | null,
    readonly stderr: string,
  ) {
    const lines = stderr.trim().split("\n");
    const told = lines.find((line) => /^(fatal|error): /.test(line)) ?? lines.at(-1) ?? "";
    const command = argv.find((word) => /^[a-z]/.test(word)) ?? "";
    super("git_failed", `git ${command}: ${told.replace(/^(fatal|error): /, "") || `status ${status}`}`);
  }
}

function endError(argv: readonly string[], status: number | null, stderr: string): BangerError {
  const [, owned] = /detected dubious ownership in repository at '(.+)'/.exec(stderr) ?? [];
  if (owned === undefined) return new GitError(argv, status, stderr);
  return new BangerError(
    "dubious_ownership",
    `${owned} belongs to somebody else, and git takes no settings from others`,
    { hint: `if you trust it: git config --global --add safe.directory ${shellQuote(owned)}` },
  );
}

/** A directory that git cannot work in, with whose it is. */
export function unusable(path: string, error: NodeJS.ErrnoException): BangerError {
  const trouble = pathTrouble(path, error);
  return new BangerError("cwd_unusable", `git cannot work in ${path}: ${trouble?.cause ?? error.message}`, {
    hint: trouble?.hint.startsWith("chmod") ? trouble.hint : "cd, and name a directory of yours",
    cause: error,
  });
}

function mayEnter(directory: string): boolean {
  try {
    accessSync(directory, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function startError(error: NodeJS.ErrnoException, directory: string): BangerError {
  if (error.code === "EACCES" && !mayEnter(directory)) {
    return unusable(directory, error);
  }
  if (error.code !== "ENOENT" || !existsSync(directory)) {
    return new BangerError("git_failed", `git could not be started: ${error.message}`, { cause: error });
  }
  return new BangerError("git_missing", "git is not installed on this host", {
    hint: "sudo apt-get install git",
    cause: error,
  });
}
