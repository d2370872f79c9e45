/** `banger vm run`: create, wait, run a shell or a command, and with `--rm` delete, whatever came of it. */
import { BangerError } from "../../lib/errors.js";
import { canTellWhy } from "../../model/kept.js";
import { defaultGuestPath, startDirectory } from "../../workspace/guest-path.js";
import type { Plan } from "../../workspace/plan.js";
import { usageError } from "../base/check.js";
import { command } from "../base/command.js";
import { type Context, call, changed, print, printJson, say } from "../base/context.js";
import { settle, verdict } from "../base/follow.js";
import { Interrupted } from "../base/interrupts.js";
import { type WaitUntil, waitOf } from "./boot-wait.js";
import { runCaptured } from "./captured.js";
import { defaultsHelp } from "./create.js";
import { environmentFlags, environmentOf } from "./environment.js";
import { createVm, type Given, newVmFlags, waitUntilReady } from "./new.js";
import { vmInsteadOfPath } from "./not-path.js";
import { inputFlags, onTerminal, runSession, takesInput } from "./session.js";
import {
  guestOf,
  placePlan,
  planFor,
  printPlan,
  type WorkspaceFlags,
  workspaceFlags,
} from "./workspace-flags.js";

/** What the guest's agent gives commands of which nobody says another; see guest-agent/spawn.c. */
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/** bash where the image has it; a login shell, unless the image has a PATH of its own, which that would lose. */
const shell = [
  "/bin/sh",
  "-c",
  `case $PATH in ${defaultPath}) login=-l ;; *) login= ;; esac
if command -v bash >/dev/null; then exec bash $login; fi; exec sh $login`,
];
const deleteDeadlineMs = 20_000;

/** When a VM of `--rm` is deleted: after its shell or command, or also when its guest never became reachable. */
type Removal = "never" | "after" | "always";

interface RunOptions {
  remove: Removal;
  detach: boolean;
  quiet: boolean;
  input: boolean;
  /** Of the shell or command. */
  env: Record<string, string>;
  all: Given;
  until: WaitUntil;
  guestCommand: string[] | undefined;
  /** The repository to place in the VM. */
  plan: Plan | undefined;
}

export const run = command({
  summary: "Create a VM and run a shell or a command in it",
  usage: "[PATH] [flags] [-- CMD…]",
  examples: [
    "banger vm run",
    "banger vm run --rm ../repo -- make test",
    "banger vm run --rm -- uname -a",
    "banger vm run --name box --memory 2G -d",
    "banger vm run --rm --net none -- sh -c 'exit 3'; echo $?",
  ],
  takesCommand: true,
  guestStatus: true,
  words: { min: 0, max: 1, name: "PATH" },
  flags: {
    ...newVmFlags,
    ...workspaceFlags,
    ...environmentFlags,
    rm: {
      type: "boolean",
      valueHint: "[=always]",
      description:
        "Delete the VM when the shell, the command or this process ends; one that never became ready only with =always",
    },
    ...inputFlags,
    detach: { type: "boolean", alias: "d", description: "Leave the VM running and print its id" },
    quiet: { type: "boolean", alias: "q", description: "Print only the command's output" },
  },
  moreHelp: defaultsHelp,
  async run(flags, { context, words, all, command: guestCommand }) {
    const plan = await planOf(context, words[0], flags).catch(async (error: unknown) => {
      throw words[0] === undefined ? error : await vmInsteadOfPath(context, words[0], guestCommand, error);
    });
    if (plan !== undefined && flags["dry-run"]) return printPlan(context, plan);
    const remove: Removal = flags.rm !== true ? "never" : all["rm"] === undefined ? "after" : "always";
    const detach = flags.detach === true;
    if (guestCommand?.length === 0)
      throw usageError("the command after -- is missing", "banger vm run -- uname -a");
    if (detach && (flags.rm || guestCommand !== undefined)) {
      throw usageError(
        `--detach leaves the VM running: ${flags.rm ? "--rm" : "a command"} cannot be combined with it`,
        "banger vm run -d --name box, then: banger vm exec box -- CMD",
      );
    }
    if (guestCommand === undefined && !detach && context.json) {
      throw usageError("--json needs a command", "banger vm run --json -- CMD");
    }
    if (guestCommand === undefined && !detach && !onTerminal(context)) {
      throw usageError("a shell needs a terminal", "banger vm run -- CMD, or banger vm run -d");
    }
    return runVm(context, flags, {
      ...{ remove, detach, guestCommand, plan },
      quiet: flags.quiet === true,
      input: takesInput(flags),
      env: environmentOf(all, context.env),
      all,
      until: waitOf(flags.wait),
    });
  },
});

async function planOf(
  context: Context,
  path: string | undefined,
  flags: WorkspaceFlags,
): Promise<Plan | undefined> {
  if (path !== undefined) return planFor(context, path, flags);
  const given = (Object.keys(workspaceFlags) as (keyof WorkspaceFlags)[]).find(
    (name) => flags[name] !== undefined,
  );
  if (given === undefined) return undefined;
  throw usageError(`--${given} needs a repository, but no path was given`, `banger vm run . --${given}`);
}

async function runVm(
  context: Context,
  flags: Parameters<typeof createVm>[1],
  { remove, detach, quiet, input, env, all, until, guestCommand, plan }: RunOptions,
): Promise<number> {
  const hold = remove === "never" ? undefined : { always: remove === "always" };
  const vm = await createVm(context, flags, { start: true, quiet, all, hold });
  if (!quiet) say(context, `vm: ${vm.name} (${vm.id})`);
  try {
    await waitUntilReady(context, vm, quiet, until);
  } catch (error) {
    throw await notReady(context, vm, remove, error);
  }
  if (detach) {
    if (plan !== undefined) await placeRepository(context, vm.name, plan, { quiet, interactive: false });
    if (context.json) await printJson(context, await call(context, "vmShow", { ref: vm.id }));
    else await print(context, `${vm.id}\n`);
    return 0;
  }
  try {
    const tty = onTerminal(context);
    const interactive = guestCommand === undefined;
    if (plan !== undefined) await placeRepository(context, vm.name, plan, { quiet, interactive });
    const where = plan === undefined ? {} : { cwd: startDirectory(plan, defaultGuestPath) };
    const session = { argv: guestCommand ?? shell, tty, input, env, ...where };
    if (!context.json) return await runSession(context, vm.id, session);
    const captured = await runCaptured(context, vm.id, session);
    await printJson(context, { vm: { id: vm.id, name: vm.name }, ...captured });
    return captured.status;
  } finally {
    if (remove !== "never") await removeVm(context, vm);
    else if (!quiet) await remind(context, vm);
  }
}

async function placeRepository(
  context: Context,
  ref: string,
  plan: Plan,
  { quiet, interactive }: { quiet: boolean; interactive: boolean },
): Promise<void> {
  await placePlan(context, ref, plan, { guestPath: defaultGuestPath, readonly: false, quiet });
  if (!interactive) return;
  const { startTools, toolsLog } = await import("../../workspace/tools.js");
  const started = await startTools(await guestOf(context, ref), plan, defaultGuestPath);
  if (started && !quiet)
    say(context, `mise is installing the repository's tools; see ${toolsLog} in the guest`);
}

/** Says what is left behind, and how to be rid of it. */
async function remind(context: Context, { id, name }: { id: string; name: string }): Promise<void> {
  const phase = await call(context, "vmShow", { ref: id }).then(
    (view) => view.phase,
    () => "running",
  );
  const state =
    phase === "running" ? `is still running; stop it with: banger vm stop ${name}` : `is ${phase}`;
  say(context, `${name} ${state}; delete it with: banger vm delete ${name}`);
}

/** What to throw when the guest did not become ready. With --rm the VM is deleted, unless `vm logs` can say why. */
async function notReady(
  context: Context,
  vm: { id: string; name: string },
  remove: Removal,
  error: unknown,
): Promise<unknown> {
  const { name } = vm;
  const known = error instanceof BangerError;
  const kept = remove === "never" || (remove === "after" && known && (await isKept(context, vm.id)));
  if (!kept) await removeVm(context, vm);
  if (error instanceof Interrupted && kept)
    say(context, `${name} is still starting; stop it with: banger vm stop ${name}`);
  if (!known) return error;
  const kind = remove === "never" ? "" : kept ? "and was kept so that you can see why" : ", and was deleted";
  const own = error.hint === undefined || /banger vm (logs|why)/.test(error.hint) ? [] : [error.hint];
  const look = `banger vm logs ${name}, banger vm why ${name}`;
  const then = `then: banger vm start ${name}, or banger vm delete ${name}`;
  return BangerError.from(error.toBody(), {
    message: `${name} did not become ready${kind}: ${error.message}`,
    hint: (kept ? [...own, look, then] : own).join("; ") || "banger doctor",
    cause: error,
  });
}

/** As the daemon will judge when this process has gone: see kept.ts. */
async function isKept(context: Context, id: string): Promise<boolean> {
  try {
    return canTellWhy(await call(context, "vmShow", { ref: id }));
  } catch {
    return true;
  }
}

/**
 * Has the VM deleted, even after Ctrl-C, and waits until it is gone: its name is free then, and its image can go. What
 * the daemon has taken down it carries out, whoever waits for it, so that one more Ctrl-C only ends the waiting.
 */
async function removeVm(context: Context, vm: { id: string; name: string }): Promise<void> {
  const deadline = AbortSignal.timeout(deleteDeadlineMs);
  const impatient = new AbortController();
  const until = (signal: AbortSignal): Context => ({
    ...context,
    interrupts: { ...context.interrupts, signal },
  });
  const release = context.interrupts.take(() => impatient.abort(new Error("interrupted")));
  let asked = false;
  try {
    const body = { action: "delete" as const, refs: [vm.id] };
    const { results } = await call(until(deadline), "vmAct", { body });
    asked = true;
    const [result] = results;
    if (result?.vm === undefined || verdict(result.vm, "deleted") === "done") return;
    const calm = until(AbortSignal.any([deadline, impatient.signal]));
    await settle(calm, [{ id: vm.id, goal: "deleted", after: result.after }], () => undefined);
  } catch (error) {
    if (asked) return say(context, `${vm.name} is still being deleted; that continues by itself`);
    const why = (error as Error).message;
    say(context, `banger: ${vm.name} was not deleted: ${why}\n  try: banger vm delete ${vm.name}`);
  } finally {
    release();
  }
}
