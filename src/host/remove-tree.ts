/** Removes a directory with all that is in it, and nothing of what is mounted there. */
import { execFile } from "node:child_process";
import { readFileSync, realpathSync } from "node:fs";
import { rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import { BangerError } from "../lib/errors.js";
import { shellQuote } from "../lib/shell.js";
import { mountsBelow, parseMounts } from "./mounts.js";
import { toolEnvironment } from "./run-tool.js";

/** What this process sees mounted at `path` or below, in the order in which it is unmounted. */
function mountedAt(path: string): string[] {
  let real: string;
  try {
    real = join(realpathSync(dirname(path)), basename(path));
  } catch {
    // It is not there, or nobody may look: then nothing of it is removed either.
    return [];
  }
  const mounts = parseMounts(readFileSync("/proc/self/mountinfo", "latin1"));
  return mountsBelow(Buffer.from(real).toString("latin1"), mounts).map(({ path }) =>
    Buffer.from(path, "latin1").toString(),
  );
}

/** Unmounts what is mounted at `path` or below, as far as this user may. What is left, `removeTree` names. */
export async function unmountBelow(path: string): Promise<void> {
  const env = toolEnvironment("/usr/bin:/bin");
  for (const mount of mountedAt(path))
    await promisify(execFile)("umount", ["--lazy", "--no-canonicalize", mount], { env }).catch(
      () => undefined,
    );
}

/**
 * `path` is gone, a symlink as one.
 * @throws BangerError `mounted_below` when something is mounted in it: a walk would remove what lies there
 */
export async function removeTree(path: string): Promise<void> {
  const [mount] = mountedAt(path);
  if (mount !== undefined)
    throw new BangerError("mounted_below", `${path} was not removed: ${mount} is mounted in it`, {
      hint: `sudo umount ${shellQuote(mount)}`,
      retry: "later",
    });
  await rm(path, { recursive: true, force: true });
}
