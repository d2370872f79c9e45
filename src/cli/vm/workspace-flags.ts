/** What `vm run PATH` and `vm workspace` share: flags, the list of a dry run, and placing a repository. */
import { homeHandles } from "../../home/handles.js";
import type { Guest } from "../../workspace/guest.js";
import type { Plan, WorkspaceOptions } from "../../workspace/plan.js";
import type { Placement } from "../../workspace/prepare.js";
import { usageError } from "../base/check.js";
import { answer, type Context, say } from "../base/context.js";
import { openCommand } from "./command.js";

export const workspaceFlags = {
  branch: { type: "string", valueHint: "B", description: "Create branch B in the guest's checkout" },
  from: {
    type: "string",
    valueHint: "REF",
    description: "Start the branch at REF, without uncommitted changes",
  },
  "include-untracked": {
    type: "boolean",
    description: "Include untracked files; ignored files are never copied",
  },
  "dry-run": { type: "boolean", description: "Print the files that would be copied; change nothing" },
} as const;

export interface WorkspaceFlags {
  branch?: string | undefined;
  from?: string | undefined;
  "include-untracked"?: boolean | undefined;
  "dry-run"?: boolean | undefined;
}

/** Looks the repository over on the host, and nothing else. @throws BangerError */
export async function planFor(
  context: Context,
  path: string,
  flags: WorkspaceFlags,
  mode: WorkspaceOptions["mode"] = "shallow_overlay",
): Promise<Plan> {
  if (flags.from !== undefined && flags.branch === undefined) {
    throw usageError("--from needs --branch", `--branch my-change --from ${flags.from}`);
  }
  const { planWorkspace } = await import("../../workspace/plan.js");
  const { branch, from, "include-untracked": includeUntracked = false } = flags;
  return planWorkspace(
    path,
    { mode, branch, from, includeUntracked },
    context.env,
    context.interrupts.signal,
  );
}

/** What `--dry-run` prints: every file on a line of its own. */
export async function printPlan(context: Context, plan: Plan): Promise<number> {
  const { shownPath } = await import("../../workspace/select.js");
  sayLeftBehind(context, plan);
  const files = plan.files.map((path) => shownPath(path));
  await answer(
    context,
    { files, skippedUntracked: plan.skippedUntracked },
    files.map((path) => `${path}\n`).join(""),
  );
  return 0;
}

function sayLeftBehind(context: Context, { skippedUntracked: count, embedded }: Plan): void {
  if (count > 0) {
    const what = count === 1 ? "1 untracked file stays" : `${count} untracked files stay`;
    say(context, `${what} on the host; to include them: --include-untracked`);
  }
  if (embedded.length > 0) {
    say(context, `${embedded.length} nested repositories stay on the host: they are not submodules`);
  }
}

/** What `--json` tells of a repository that was placed. */
export const placedJson = (ref: string, plan: Plan, guestPath: string) => ({
  ref,
  guestPath,
  files: plan.files.length,
  skippedUntracked: plan.skippedUntracked,
});

/** Places what was planned, and says so unless `quiet`. */
export async function placePlan(
  context: Context,
  ref: string,
  plan: Plan,
  { quiet, guestPath, readonly }: Omit<Placement, "warn" | "fallbackScratch"> & { quiet: boolean },
): Promise<void> {
  const { placeWorkspace } = await import("../../workspace/prepare.js");
  const { liveLine } = await import("../render/live-line.js");
  const { progressOutput } = await import("../render/style.js");
  const { formatDuration } = await import("../../lib/sizes.js");
  if (!quiet) sayLeftBehind(context, plan);
  const line = liveLine(progressOutput(context), context.clock);
  const warn = (sentence: string) => {
    line.clear();
    say(context, sentence);
    line.show("repository");
  };
  if (!quiet) line.show("repository");
  const begin = context.clock.now();
  try {
    const guest = await guestOf(context, ref);
    const fallbackScratch = homeHandles(context.home).scratch;
    await placeWorkspace(plan, guest, { guestPath, readonly, fallbackScratch, ...(!quiet && { warn }) });
  } finally {
    line.clear();
  }
  const took = formatDuration(context.clock.now() - begin);
  if (!quiet) say(context, `repository: ${plan.files.length} files at ${guestPath} (${took})`);
}

/** The guest of a VM, for shell scripts. */
export async function guestOf(context: Context, ref: string): Promise<Guest> {
  const { guestOver } = await import("../../workspace/guest.js");
  const connect = (request: { argv: string[]; cwd: string }) =>
    openCommand(context, ref, { ...request, imageEnv: false });
  return guestOver(ref, connect, context.interrupts.signal);
}
