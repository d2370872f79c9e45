/** `banger vm workspace prepare` and `vm workspace export`. */
import { createWriteStream, renameSync, rmSync, statSync } from "node:fs";
import { posix } from "node:path";
import type { Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { BangerError } from "../errors.js";
import { exportCommits, exportPatch } from "../workspace/export.js";
import type { Guest } from "../workspace/guest.js";
import { defaultGuestPath } from "../workspace/guest-path.js";
import { type Mode, modes } from "../workspace/plan.js";
import { usageError } from "./check.js";
import { command, oneRef } from "./command.js";
import { type Context, say } from "./context.js";
import { guestOf, placePlan, planFor, printPlan, workspaceFlags } from "./workspace-flags.js";

const guestPathFlag = {
  type: "string",
  valueHint: "DIR",
  description: `Where the repository is in the guest; ${defaultGuestPath} without it`,
} as const;

/** A directory of its own in the guest. @throws BangerError `usage` */
export function guestPathOf(path: string | undefined): string {
  if (path === undefined) return defaultGuestPath;
  const clean = posix.normalize(path).replace(/\/+$/, "");
  const alone = clean !== "" && clean !== "/root" && posix.isAbsolute(path) && !/(^|\/)\.\.(\/|$)/.test(path);
  if (alone && !path.includes("\0")) return clean;
  throw usageError(`--guest-path: "${path}" is not a directory of its own`, "--guest-path /root/other");
}

function modeOf(text: string | undefined): Mode {
  const found = modes.find((mode) => mode === (text ?? "shallow_overlay"));
  if (found !== undefined) return found;
  throw usageError(`--mode: there is no mode "${text}"`, modes.map((mode) => `--mode ${mode}`).join(", "));
}

export const prepare = command({
  summary: "Put a repository of this host into a running VM, as its work tree is now",
  usage: "REF [PATH] [flags]",
  examples: [
    "banger vm workspace prepare box",
    "banger vm workspace prepare box ../repo --branch try --from main",
    "banger vm workspace prepare box . --dry-run",
  ],
  words: { min: 1, max: 2, name: "REF" },
  flags: {
    "guest-path": guestPathFlag,
    mode: {
      type: "string",
      valueHint: "MODE",
      description:
        "shallow_overlay: the commit and the work tree; full_copy: the whole history and submodules too; " +
        "metadata_only: the commit without uncommitted changes",
    },
    readonly: { type: "boolean", description: "Take the right to write away from the files" },
    ...workspaceFlags,
    quiet: { type: "boolean", alias: "q", description: "Print nothing but errors" },
  },
  async run(flags, { context, words }) {
    const [ref = "", path = "."] = words;
    const placement = {
      guestPath: guestPathOf(flags["guest-path"]),
      readonly: flags.readonly === true,
      quiet: flags.quiet === true,
    };
    const plan = await planFor(context, path, flags, modeOf(flags.mode));
    if (flags["dry-run"]) return printPlan(context, plan);
    await placePlan(context, ref, plan, placement);
    return 0;
  },
});

export const exportChanges = command({
  summary: "Print what was changed in a VM's checkout since it was prepared, as a patch for git apply",
  usage: "REF [flags]",
  examples: [
    "banger vm workspace export box | git apply",
    "banger vm workspace export box -o change.patch",
    "banger vm workspace export box --commits -o change.bundle && git fetch change.bundle HEAD",
  ],
  words: oneRef,
  flags: {
    output: { type: "string", alias: "o", valueHint: "FILE", description: "Write to FILE" },
    commits: { type: "boolean", description: "The commits made in the guest, as a git bundle" },
    "guest-path": guestPathFlag,
  },
  async run(flags, { context, words }) {
    const guestPath = guestPathOf(flags["guest-path"]);
    const guest = await guestOf(context, words[0] ?? "");
    const { output: file } = flags;
    if (flags.commits === true) {
      if (file === undefined && context.stdout.isTTY === true) {
        throw usageError("a bundle is not for a terminal", "-o FILE");
      }
      await writeTo(context, file, (output) => exportBundle(context, guest, guestPath, output));
      return 0;
    }
    const bytes = await writeTo(context, file, (output) => exportPatch(guest, guestPath, output));
    if (bytes === 0) say(context, `nothing was changed at ${guestPath} since it was prepared`);
    return 0;
  },
});

async function exportBundle(context: Context, guest: Guest, guestPath: string, output: Writable) {
  const { uncommitted } = await exportCommits(guest, guestPath, output);
  if (uncommitted) say(context, "changes that are not committed are not in the bundle");
}

/** Has `write` write to the file, which is there only when it is whole, or to stdout; yields the number of bytes. */
async function writeTo(
  context: Context,
  file: string | undefined,
  write: (output: Writable) => Promise<void>,
): Promise<number> {
  if (file === undefined) return countingStdout(context, write);
  const partial = `${file}.partial`;
  const output = createWriteStream(partial);
  const done = finished(output);
  try {
    await Promise.race([write(output), done]);
    output.end();
    await done;
    const { size } = statSync(partial);
    renameSync(partial, file);
    return size;
  } catch (error) {
    output.destroy();
    await done.catch(() => undefined);
    rmSync(partial, { force: true });
    const { code } = error as NodeJS.ErrnoException;
    if (error instanceof BangerError || code === undefined) throw error;
    throw new BangerError("not_written", `${file} cannot be written: ${(error as Error).message}`, {
      hint: "-o FILE in a directory that is yours",
    });
  }
}

async function countingStdout(context: Context, write: (output: Writable) => Promise<void>): Promise<number> {
  const before = context.stdout.bytesWritten;
  await write(context.stdout);
  return context.stdout.bytesWritten - before;
}
