/** Waiting for a guest: until its agent answers, or until its init has come up too. */
import type { BangerError } from "../errors.js";
import { formatDuration } from "../sizes.js";
import { usageError } from "./check.js";
import { type Context, call, say } from "./context.js";
import { settle, verdict, type Wanted } from "./follow.js";

export type WaitFor = "agent" | "boot";

export const waitFlag = {
  wait: {
    type: "string",
    default: "boot",
    valueHint: "agent|boot",
    description: "Until the guest's agent answers, or until its init has come up too",
  },
} as const;

/** @throws BangerError `usage` */
export function waitOf(text: string | undefined): WaitFor {
  if (text === undefined || text === "boot") return "boot";
  if (text === "agent") return "agent";
  throw usageError(`--wait: "${text}" is neither agent nor boot`, "--wait agent");
}

/** An init that takes longer has something to wait for that may never come. */
const bootLimitMs = 120_000;

/** Resolves with those whose init has not come up in that time, or that have ended before. */
async function notBooted(context: Context, ids: readonly string[], limitMs: number): Promise<string[]> {
  const limit = AbortSignal.timeout(limitMs);
  const { interrupts } = context;
  const signal = AbortSignal.any([interrupts.signal, limit]);
  const late = new Set(ids);
  const wanted: Wanted[] = [];
  for (const id of ids) {
    const vm = await call(context, "vmShow", { ref: id });
    const now = verdict(vm, "booted");
    if (now === "wait") wanted.push({ id, goal: "booted", after: vm.seq });
    else if (now === "done") late.delete(id);
  }
  const settled = (id: string, end: "done" | BangerError) => {
    if (end === "done") late.delete(id);
  };
  try {
    await settle({ ...context, interrupts: { ...interrupts, signal } }, wanted, settled);
  } catch (error) {
    if (!limit.aborted || interrupts.signal.aborted) throw error;
  }
  return [...late];
}

/** Waits for the inits of VMs whose agents answer; one that does not come up is told, and is no failure. */
export async function awaitBoot(
  context: Context,
  vms: readonly { id: string; name: string }[],
  quiet: boolean,
): Promise<void> {
  const late = new Set(
    await notBooted(
      context,
      vms.map(({ id }) => id),
      bootLimitMs,
    ),
  );
  if (quiet) return;
  for (const { id, name } of vms) {
    if (!late.has(id)) continue;
    say(context, `note: ${name} answers, but its init has not come up within ${formatDuration(bootLimitMs)}`);
    say(context, `  try: banger vm exec ${name} -- systemctl list-jobs`);
  }
}
