/** A part of the matrix, and what all parts are made of. */
import { execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** What a part may use: a directory that stays for the next run, and the file that its output goes to. */
export interface Place {
  cache: string;
  log: number;
}

export interface Part {
  name: string;
  what: string;
  /** Why it cannot be run here, if it cannot. */
  left?: string | undefined;
  /** @throws Error as it failed */
  run(place: Place): Promise<void>;
}

export const checkout = fileURLToPath(new URL("../../../", import.meta.url));

interface Run {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  input?: string;
  log: number;
}

/** Runs a program whose output goes to the part's log. @throws Error unless it ends with status 0 */
export function run(program: string, argv: readonly string[], { cwd, env, input, log }: Run): Promise<void> {
  const child = spawn(program, argv, { cwd, env, stdio: ["pipe", log, log] });
  child.stdin?.on("error", () => undefined);
  child.stdin?.end(input ?? "");
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status, signal) => {
      if (status === 0) resolve();
      else reject(new Error(`${program} ${argv.join(" ").slice(0, 200)} ended with ${signal ?? status}`));
    });
  });
}

/** Everything of this checkout that is not built, as it is now. */
export function copyCheckout(to: string): void {
  const options = { cwd: checkout, maxBuffer: 1 << 26 };
  const listed = execFileSync(
    "git",
    ["ls-files", "-z", "--cached", "--others", "--exclude-standard"],
    options,
  );
  const files = listed
    .toString()
    .split("\0")
    .filter((path) => path !== "" && existsSync(`${checkout}/${path}`));
  const archive = execFileSync("tar", ["-c", "--null", "-T", "-"], { ...options, input: files.join("\0") });
  execFileSync("tar", ["-x", "--no-same-owner", "-C", to], { input: archive });
}
