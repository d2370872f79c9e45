/** Archives for a guest, made by the host's `tar`, which takes names as bytes and files as they are. */
import { spawn } from "node:child_process";
import { PassThrough, type Readable } from "node:stream";
import { BangerError } from "../lib/errors.js";
import { nulTerminated, type PathBytes } from "./host-git.js";

/** Where tar is found, and what ends it. */
export interface Host {
  searchPath: string;
  signal: AbortSignal;
}

export interface Archive {
  stream: Readable;
  /** Rejects when the archive is not whole; what was unpacked of it must not be used then. */
  whole: Promise<void>;
}

/** Names as they are: no option, pattern or escape is looked for in them. */
const literal = ["--null", "--verbatim-files-from", "--no-unquote", "--files-from=-"];
const common = ["--create", "--file=-", "--format=gnu", "--numeric-owner", "--owner=0", "--group=0"];
/** What tar ends with when a file changed while it was read: it is carried as it was read. */
const changedStatus = 1;

/** `paths` of a directory, without what lies below them. */
export const archiveFiles = (directory: string, paths: readonly PathBytes[], host: Host): Archive =>
  runTar(["--no-recursion", "--hard-dereference", "--directory", directory, ...literal], paths, host);

/** `paths` of a directory with everything below them, readable by everybody as a checkout's are. */
export const archiveTrees = (directory: string, paths: readonly PathBytes[], host: Host): Archive =>
  runTar(["--mode=u+rwX,go+rX,go-w", "--directory", directory, ...literal], paths, host);

function runTar(argv: readonly string[], paths: readonly PathBytes[], { searchPath, signal }: Host): Archive {
  const env = { PATH: searchPath, LC_ALL: "C" };
  const child = spawn("tar", [...common, ...argv], { signal, env });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr = (stderr + text).slice(-4096);
  });
  child.stdin.on("error", () => undefined).end(nulTerminated(paths));
  const whole = new Promise<void>((resolve, reject) => {
    child.on("error", (cause) => {
      if (signal.aborted) return reject(signal.reason);
      reject(new BangerError("tar_failed", `tar could not be started: ${cause.message}`, { cause }));
    });
    child.on("close", (status) => {
      if (status === 0 || status === changedStatus) resolve();
      else reject(signal.aborted ? signal.reason : incomplete(stderr, status));
    });
  });
  whole.catch(() => undefined);
  // Node throws away what nobody has begun to read of a process's output when the process ends.
  return { stream: child.stdout.pipe(new PassThrough()), whole };
}

function incomplete(stderr: string, status: number | null): BangerError {
  const [line = ""] = stderr.trim().split("\n");
  const denied = /Permission denied/.test(line);
  return new BangerError(
    "tar_failed",
    `not every file could be read: ${line || `tar ended with ${status}`}`,
    {
      hint: denied
        ? "make it readable (chmod u+r), or remove it from git's index: git rm --cached"
        : "if a build was writing into the work tree, try again once it is done",
      retry: denied ? "never" : "later",
    },
  );
}
