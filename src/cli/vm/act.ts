/** `banger vm start|stop|restart|kill|delete`: one request for all VMs, then waiting until each is there. */
import type { VmAction } from "../../contract/contract.js";
import { BangerError } from "../../lib/errors.js";
import { usageError } from "../base/check.js";
import { command, manyRefs } from "../base/command.js";
import { type Context, call, print, printJson, say } from "../base/context.js";
import { filterFlag, filterOf } from "../base/filter.js";
import { type Goal, settle, verdict, type WaitFor } from "../base/follow.js";
import { errorText } from "../render/error.js";
import { styleFor } from "../render/style.js";
import { awaitBoot, waitFlag, waitOf } from "./boot-wait.js";
import { newVmFlags, startReport } from "./new.js";
import { type Result, resultJson } from "./result.js";

type Action = VmAction["action"];

const outcomes: Record<Action, { goal: Goal; done: string }> = {
  start: { goal: "running", done: "running" },
  stop: { goal: "stopped", done: "stopped" },
  restart: { goal: "running", done: "running" },
  kill: { goal: "stopped", done: "killed" },
  delete: { goal: "deleted", done: "deleted" },
};

/** Results in the order of the refs, each printed as soon as it and all before it are known. */
export function inOrder(results: readonly Result[], show: (result: Result) => void): () => void {
  let shown = 0;
  return () => {
    for (let next = results[shown]; next?.end !== undefined; next = results[shown]) {
      show(next);
      shown += 1;
    }
  };
}

/** Sends `action` for all refs at once and waits for every VM. Whether all went well. */
export async function act(
  context: Context,
  action: Action,
  refs: readonly string[],
  { quiet, force = false }: { quiet: boolean; force?: boolean },
): Promise<{ results: Result[]; ok: boolean }> {
  const { goal, done } = outcomes[action];
  const body = { action, refs: [...new Set(refs)], ...(force && { force }) };
  const reply = await call(context, "vmAct", { body });
  const wanted: WaitFor[] = [];
  const results = reply.results.map(({ ref, vm, error, after }): Result => {
    const failure = error && BangerError.from(error);
    // A restart begins with a running VM: that alone says nothing.
    const now = vm === undefined || action === "restart" ? "wait" : verdict(vm, goal);
    const end = failure ?? (now === "done" ? now : undefined);
    if (vm !== undefined && end === undefined) wanted.push({ id: vm.id, goal, after });
    return { ref, name: vm?.name ?? ref, id: vm?.id, end };
  });
  const report = startReport(context, quiet || wanted.length !== 1);
  let written = Promise.resolve();
  const flush = inOrder(results, ({ name, end }) => {
    report.close();
    if (end !== "done") context.stderr.write(errorText(end, styleFor(context.stderr, context.env), name));
    else if (!quiet && !context.json) written = written.then(() => print(context, `${name} ${done}\n`));
    // Output that cannot be written ends the waiting by itself, and is told below.
    written.catch(() => undefined);
  });
  try {
    flush();
    await settle(
      context,
      wanted,
      (id, end) => {
        const result = results.find((each) => each.id === id);
        if (result !== undefined) result.end = end;
        flush();
      },
      report.see,
    );
    await written;
  } finally {
    report.close();
  }
  return { results, ok: results.every(({ end }) => end === "done") };
}

/** The VMs that words or filters mean. @throws BangerError `usage` unless it is one of both */
async function meant(
  context: Context,
  action: Action,
  words: readonly string[],
  filters: readonly string[] | undefined,
): Promise<readonly string[]> {
  const usage = `banger vm ${action} REF, or banger vm ${action} --filter label=K=V`;
  if (filters === undefined && words.length === 0) throw usageError("REF is missing", usage);
  if (filters === undefined) return words;
  if (words.length > 0) throw usageError("REF and --filter cannot be combined", usage);
  const passes = filterOf(filters);
  return (await call(context, "vmList")).filter(passes).map(({ id }) => id);
}

const unknownFlag = {
  type: "boolean",
  description: "REFs are ids of VMs that are not in the log (vm list --unknown); their disks stay",
} as const;

async function printResults(context: Context, action: Action, results: readonly Result[]): Promise<void> {
  if (!context.json) return;
  const { done } = outcomes[action];
  await printJson(
    context,
    results.map((result) => resultJson(result, done)),
  );
}

/** Waits for the inits of those that were started. */
async function awaitInits(context: Context, results: readonly Result[], quiet: boolean): Promise<void> {
  const up = results.flatMap(({ id, name, end }) =>
    id !== undefined && end === "done" ? [{ id, name }] : [],
  );
  await awaitBoot(context, up, quiet);
}

function actionCommand(action: Action, summary: string, examples: readonly string[]) {
  const starts = action === "start" || action === "restart";
  return command({
    summary,
    usage: "REF… [flags]",
    examples,
    words: { ...manyRefs, min: 0 },
    flags: {
      filter: filterFlag,
      quiet: { type: "boolean", alias: "q", description: "Print only errors" },
      ...(action === "kill" ? { unknown: unknownFlag } : {}),
      ...(starts ? { force: newVmFlags.force, ...waitFlag } : {}),
    },
    async run(flags, { context, words, all }) {
      const until = waitOf(flags.wait);
      if (flags.unknown === true) {
        const { killUnknown } = await import("./kill-unknown.js");
        if (all["filter"] !== undefined)
          throw usageError("--unknown takes ids, not --filter", "banger vm kill --unknown ID");
        return (await killUnknown(context, words, flags.quiet === true)) ? 0 : 1;
      }
      const refs = await meant(context, action, words, all["filter"]);
      if (refs.length === 0) {
        if (context.json) await printJson(context, []);
        else if (flags.quiet !== true) say(context, "no VM matches");
        return 0;
      }
      const { results, ok } = await act(context, action, refs, {
        quiet: flags.quiet === true,
        force: flags.force === true,
      });
      if (starts && until === "boot")
        await awaitInits(context, results, flags.quiet === true || context.json);
      await printResults(context, action, results);
      return ok ? 0 : 1;
    },
  });
}

export const start = actionCommand("start", "Start VMs and wait until they are ready", [
  "banger vm start box",
  "banger vm start $(banger vm list -q)",
]);
export const stop = actionCommand("stop", "Shut down VMs; a guest that does not react is killed", [
  "banger vm stop box other-box",
]);
export const restart = actionCommand("restart", "Restart VMs", ["banger vm restart box"]);
export const kill = actionCommand("kill", "Stop VMs immediately, without asking their guests", [
  "banger vm kill box",
  "banger vm kill --unknown 3f2a91c0",
]);
export const remove = actionCommand("delete", "Delete VMs and their disks, running or not", [
  "banger vm delete box",
  "banger vm rm 3f2a",
  "banger vm delete --filter label=task=42",
]);
