/** `banger vm workspace prepare` and `vm workspace export`. */
import { posix } from "node:path";
import type { Writable } from "node:stream";
import { exportCommits, exportPatch } from "../../workspace/export.js";
import type { Guest } from "../../workspace/guest.js";
import { defaultGuestPath } from "../../workspace/guest-path.js";
import { type Mode, modes } from "../../workspace/plan.js";
import { usageError } from "../base/check.js";
import { command, oneRef, rawFlag } from "../base/command.js";
import { type Context, printJson, say } from "../base/context.js";
import { guestOutput } from "../base/output.js";
import { type Write, writeAmong, writeToFile } from "../base/output-file.js";
import { guestOf, placedJson, placePlan, planFor, printPlan, workspaceFlags } from "./workspace-flags.js";

const guestPathFlag = {
  type: "string",
  valueHint: "DIR",
  description: `Path of the repository in the guest (default: ${defaultGuestPath})`,
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
  summary: "Copy a host repository into a running VM, with its work tree as it is now",
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
    readonly: { type: "boolean", description: "Make the files read-only" },
    ...workspaceFlags,
    quiet: { type: "boolean", alias: "q", description: "Print only errors" },
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
    if (context.json) await printJson(context, placedJson(ref, plan, placement.guestPath));
    return 0;
  },
});

export const exportChanges = command({
  summary: "Print the changes in a VM's checkout since it was prepared, as a patch for git apply",
  usage: "REF [flags]",
  examples: [
    "banger vm workspace export box | git apply",
    "banger vm workspace export box -o change.patch",
    "banger vm workspace export box --commits -o change.bundle && git fetch change.bundle HEAD",
  ],
  words: oneRef,
  flags: {
    output: { type: "string", alias: "o", valueHint: "FILE", description: "Write to FILE" },
    commits: { type: "boolean", description: "Write the commits made in the guest as a git bundle" },
    raw: rawFlag,
    "guest-path": guestPathFlag,
  },
  async run(flags, { context, words }) {
    const guestPath = guestPathOf(flags["guest-path"]);
    const guest = await guestOf(context, words[0] ?? "");
    const { output: file } = flags;
    if (context.json && file === undefined) {
      throw usageError(
        "--json needs -o FILE for the patch",
        `banger vm workspace export ${words[0]} -o FILE --json`,
      );
    }
    if (flags.commits === true) {
      if (file === undefined && context.stdout.isTTY === true) {
        throw usageError("a bundle cannot be printed to a terminal", "-o FILE");
      }
      const bytes = await writeTo(context, file, (output) => exportBundle(context, guest, guestPath, output));
      if (context.json) await printJson(context, { file, bytes });
      return 0;
    }
    const raw = flags.raw === true;
    const notes: string[] = [];
    const bytes = await writeTo(context, file, async (output) => {
      const readable = file === undefined ? guestOutput(context.stdout, raw) : output;
      notes.push(...(await exportPatch(guest, guestPath, readable)));
    });
    for (const note of notes) say(context, note);
    if (context.json) await printJson(context, { file, bytes, changed: bytes > 0, notes });
    if (bytes === 0) say(context, `nothing was changed at ${guestPath} since it was prepared`);
    else if (file !== undefined || context.stdout.isTTY !== true) await warnOfSubdirectory(context);
    return 0;
  },
});

async function exportBundle(context: Context, guest: Guest, guestPath: string, output: Writable) {
  const { uncommitted } = await exportCommits(guest, guestPath, output);
  if (uncommitted) say(context, "uncommitted changes are not in the bundle");
}

/** To the file, or to stdout; yields the number of bytes. */
const writeTo = (context: Context, file: string | undefined, write: Write): Promise<number> =>
  file === undefined ? writeAmong(context.stdout, write) : writeToFile(file, context, write);

/** `git apply` leaves out, without a word, what lies outside of the directory that it is typed in. */
async function warnOfSubdirectory(context: Context): Promise<void> {
  const { belowTop } = await import("../../workspace/repository.js");
  const below = await belowTop(context.env, context.interrupts.signal);
  if (below === "") return;
  const apply = 'git -C "$(git rev-parse --show-toplevel)" apply';
  say(context, `git apply run here only applies changes in ${below}; to apply all of them: ${apply}`);
}
