/** `banger vm wait`: returns when VMs have come as far as that. */
import type { VmView } from "../../contract/contract.js";
import { BangerError } from "../../lib/errors.js";
import { formatDuration, parseDuration } from "../../lib/sizes.js";
import { usageError } from "../base/check.js";
import { command, manyRefs } from "../base/command.js";
import { type Context, call, printJson } from "../base/context.js";
import { type Goal, settle, verdict, type WaitFor } from "../base/follow.js";
import { errorText } from "../render/error.js";
import { styleFor } from "../render/style.js";
import { settleWithin } from "./boot-wait.js";
import { type Result, resultJson } from "./result.js";

const goals: Readonly<Record<string, Goal>> = { agent: "running", boot: "booted", stopped: "stopped" };
const waitedFor: Readonly<Record<Goal, string>> = {
  running: "its agent does not answer",
  booted: "its init has not come up",
  stopped: "it has not stopped",
  deleted: "it is not deleted",
};

export const wait = command({
  summary: "Wait until VMs are up, or have stopped",
  usage: "REF… [flags]",
  examples: [
    "banger vm wait box",
    "banger vm wait box --for agent --timeout 30s",
    "banger vm wait box --for stopped",
  ],
  words: manyRefs,
  flags: {
    for: {
      type: "string",
      default: "boot",
      valueHint: "agent|boot|stopped",
      description: "The guest's agent answers, its init has come up, or the VM has stopped",
    },
    timeout: { type: "string", valueHint: "TIME", description: "Give up after this time (default: never)" },
  },
  async run(flags, { context, words }) {
    const until = flags.for ?? "boot";
    const goal = goals[until];
    if (goal === undefined) throw usageError(`--for: "${until}" is not agent, boot or stopped`, "--for boot");
    const limitMs = flags.timeout === undefined ? undefined : parseDuration(flags.timeout);
    const results = await Promise.all([...new Set(words)].map((ref) => found(context, ref)));
    await waitForAll(context, results, goal, limitMs);
    const style = styleFor(context.stderr, context.env);
    for (const { name, end } of results)
      if (end instanceof BangerError && !context.json) context.stderr.write(errorText(end, style, name));
    if (context.json)
      await printJson(
        context,
        results.map((result) => resultJson(result, until)),
      );
    return results.every(({ end }) => end === "done") ? 0 : 1;
  },
});

interface Waited extends Result {
  vm?: VmView;
}

async function found(context: Context, ref: string): Promise<Waited> {
  try {
    const vm = await call(context, "vmShow", { ref });
    return { ref, vm, id: vm.id, name: vm.name, end: undefined };
  } catch (error) {
    if (!(error instanceof BangerError)) throw error;
    return { ref, id: undefined, name: ref, end: error };
  }
}

/** Notes in each result how the waiting ended. */
async function waitForAll(
  context: Context,
  results: readonly Waited[],
  goal: Goal,
  limitMs: number | undefined,
): Promise<void> {
  const wanted: WaitFor[] = [];
  for (const result of results) {
    if (result.vm === undefined) continue;
    const { vm } = result;
    const now = verdict(vm, goal, false);
    if (now === "wait") wanted.push({ id: vm.id, goal, asked: false, after: vm.seq });
    else result.end = now;
  }
  const settled = (id: string, end: "done" | BangerError) => {
    for (const result of results) if (result.id === id) result.end = end;
  };
  if (limitMs === undefined) return settle(context, wanted, settled);
  if (!(await settleWithin(context, limitMs, wanted, settled))) return;
  const text = `${waitedFor[goal]} after ${formatDuration(limitMs)}`;
  for (const result of results)
    result.end ??= new BangerError("wait_timeout", text, {
      hint: `banger vm why ${result.name}`,
      retry: "later",
    });
}
