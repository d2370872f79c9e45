/** Waiting for a guest: until its agent answers, or until its init is up too. */
import { deadline } from "../../lib/deadline.js";
import { BangerError } from "../../lib/errors.js";
import { formatDuration } from "../../lib/sizes.js";
import { usageError } from "../base/check.js";
import { type Context, call, say } from "../base/context.js";
import { settle, verdict, type WaitFor } from "../base/follow.js";

export type WaitUntil = "agent" | "boot";

export const waitFlag = {
  wait: {
    type: "string",
    default: "boot",
    valueHint: "agent|boot",
    description: "Wait until the guest's agent answers (faster), or until its init is up too",
  },
} as const;

/** @throws BangerError `usage` */
export function waitOf(text: string | undefined): WaitUntil {
  if (text === undefined || text === "boot") return "boot";
  if (text === "agent") return "agent";
  throw usageError(`--wait: "${text}" is neither agent nor boot`, "--wait agent");
}

/** As `settle`, for that long at most. Whether time was up. */
export async function settleWithin(
  context: Context,
  limitMs: number,
  ...[wanted, settled]: [readonly WaitFor[], (id: string, end: "done" | BangerError) => void]
): Promise<boolean> {
  const { interrupts } = context;
  const late = new BangerError("wait_timeout", `waited for ${formatDuration(limitMs)}`, { retry: "later" });
  const bound = deadline(context.clock, limitMs, () => late, interrupts.signal);
  try {
    await settle({ ...context, interrupts: { ...interrupts, signal: bound.signal } }, wanted, settled);
    return false;
  } catch (error) {
    if (bound.signal.reason === late) return true;
    throw error;
  } finally {
    bound.release();
  }
}

/** An init that takes longer is waiting for something that may never come. */
const bootLimitMs = 120_000;

/** Waits for the inits of VMs whose agents answer; one that does not come up is reported, and is not a failure. */
export async function awaitBoot(
  context: Context,
  vms: readonly { id: string; name: string }[],
  quiet: boolean,
): Promise<void> {
  const late = new Set(vms.map(({ id }) => id));
  const wanted: WaitFor[] = [];
  for (const { id } of vms) {
    const vm = await call(context, "vmShow", { ref: id });
    const now = verdict(vm, "booted");
    if (now === "wait") wanted.push({ id, goal: "booted", after: vm.seq });
    else late.delete(id);
  }
  const timedOut = await settleWithin(context, bootLimitMs, wanted, (id) => late.delete(id));
  if (!timedOut || quiet) return;
  for (const { id, name } of vms) {
    if (!late.has(id)) continue;
    say(context, `note: ${name} answers, but its init is not up after ${formatDuration(bootLimitMs)}`);
    say(context, `  try: banger vm exec ${name} -- systemctl list-jobs`);
  }
}
