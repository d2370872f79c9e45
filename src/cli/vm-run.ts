/** `banger vm run`: create, wait, run a shell or a command, and with `--rm` delete, whatever came of it. */
import { BangerError } from "../errors.js";
import { defaultGuestPath } from "../workspace/guest-path.js";
import type { Plan } from "../workspace/plan.js";
import { usageError } from "./check.js";
import { command } from "./command.js";
import { type Context, call, print, say } from "./context.js";
import { Interrupted } from "./interrupts.js";
import { createVm, newVmFlags, waitUntilReady } from "./new-vm.js";
import { onTerminal, runSession } from "./session.js";
import { defaultsHelp } from "./vm-create.js";
import {
  guestOf,
  placePlan,
  planFor,
  printPlan,
  type WorkspaceFlags,
  workspaceFlags,
} from "./workspace-flags.js";

/** A login shell: bash where the image has it. */
const shell = ["/bin/sh", "-c", "if command -v bash >/dev/null; then exec bash -l; fi; exec sh -l"];
const deleteDeadlineMs = 10_000;

interface RunOptions {
  remove: boolean;
  detach: boolean;
  quiet: boolean;
  guestCommand: string[] | undefined;
  /** The repository to place in the VM. */
  plan: Plan | undefined;
}

export const run = command({
  summary: "Create a VM, wait until it is ready, and run a shell or a command in it",
  usage: "[PATH] [flags] [-- CMD…]",
  examples: [
    "banger vm run",
    "banger vm run --rm ../repo -- make test",
    "banger vm run --rm -- uname -a",
    "banger vm run --name box --memory 2G -d",
    "banger vm run --rm --no-nat -- sh -c 'exit 3'; echo $?",
  ],
  takesCommand: true,
  guestStatus: true,
  words: { min: 0, max: 1, name: "PATH" },
  flags: {
    ...newVmFlags,
    ...workspaceFlags,
    rm: { type: "boolean", description: "Delete the VM when the shell or command ends" },
    detach: { type: "boolean", alias: "d", description: "Leave the VM running and print its id" },
    quiet: { type: "boolean", alias: "q", description: "Print nothing but the command's output" },
  },
  moreHelp: defaultsHelp,
  async run(flags, { context, words, command: guestCommand }) {
    const plan = await planOf(context, words[0], flags);
    if (plan !== undefined && flags["dry-run"]) return printPlan(context, plan);
    const remove = flags.rm === true;
    const detach = flags.detach === true;
    if (guestCommand?.length === 0)
      throw usageError("the command after -- is missing", "banger vm run -- uname -a");
    if (detach && (remove || guestCommand !== undefined)) {
      throw usageError(
        `--detach leaves the VM to itself: ${remove ? "--rm" : "a command"} does not go with it`,
        "banger vm run -d --name box, then: banger vm exec box -- CMD",
      );
    }
    if (guestCommand === undefined && !detach && !onTerminal(context)) {
      throw usageError("a shell needs a terminal", "banger vm run -- CMD, or banger vm run -d");
    }
    return runVm(context, flags, { remove, detach, quiet: flags.quiet === true, guestCommand, plan });
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
  throw usageError(`--${given} is about a repository, and no path was given`, `banger vm run . --${given}`);
}

async function runVm(
  context: Context,
  flags: Parameters<typeof createVm>[1],
  { remove, detach, quiet, guestCommand, plan }: RunOptions,
): Promise<number> {
  const vm = await createVm(context, flags, { start: true, quiet });
  if (!quiet) say(context, `vm: ${vm.name} (${vm.id})`);
  try {
    await waitUntilReady(context, vm, quiet);
  } catch (error) {
    throw await notReady(context, vm, remove, error);
  }
  if (detach) {
    if (plan !== undefined) await placeRepository(context, vm.name, plan, { quiet, interactive: false });
    await print(context, `${vm.id}\n`);
    return 0;
  }
  try {
    const tty = onTerminal(context);
    const interactive = guestCommand === undefined;
    if (plan !== undefined) await placeRepository(context, vm.name, plan, { quiet, interactive });
    const where = plan === undefined ? {} : { cwd: defaultGuestPath };
    const request = { argv: guestCommand ?? shell, tty, input: true, ...where };
    return await runSession(context, vm.id, remove ? { ...request, thenDelete: true } : request);
  } finally {
    if (remove) await removeVm(context, vm);
    else if (guestCommand === undefined && !quiet) {
      say(context, `${vm.name} still runs; stop it with: banger vm stop ${vm.name}`);
    }
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
  const { startTools, toolsLog } = await import("../workspace/tools.js");
  const started = await startTools(await guestOf(context, ref), plan, defaultGuestPath);
  if (started && !quiet)
    say(context, `mise installs the repository's tools meanwhile; see ${toolsLog} in the guest`);
}

/** What to throw when the guest did not become ready. Only Ctrl-C with --rm deletes: else `vm logs` can still say why. */
async function notReady(
  context: Context,
  vm: { id: string; name: string },
  remove: boolean,
  error: unknown,
): Promise<unknown> {
  if (error instanceof Interrupted) {
    if (remove) await removeVm(context, vm);
    else say(context, `${vm.name} goes on starting; stop it with: banger vm stop ${vm.name}`);
    return error;
  }
  if (!(error instanceof BangerError)) return error;
  const kept = remove ? `, and was kept so that you can see why` : "";
  return new BangerError(error.code, `${vm.name} did not become ready${kept}: ${error.message}`, {
    hint: [
      ...(error.hint === undefined || /banger vm (logs|why)/.test(error.hint) ? [] : [error.hint]),
      `banger vm logs ${vm.name}, banger vm why ${vm.name}`,
      `then: banger vm start ${vm.name}, or banger vm delete ${vm.name}`,
    ].join("; "),
    retry: error.retry,
    cause: error,
  });
}

/** Has the VM deleted, even after Ctrl-C. What the daemon has taken down it carries out, whoever waits for it. */
async function removeVm(context: Context, vm: { id: string; name: string }): Promise<void> {
  const deadline = AbortSignal.timeout(deleteDeadlineMs);
  const calm: Context = { ...context, interrupts: { ...context.interrupts, signal: deadline } };
  const release = context.interrupts.take(() => undefined);
  try {
    await call(calm, "vmAct", { body: { action: "delete", refs: [vm.id] } });
  } catch (error) {
    say(
      context,
      `banger: ${vm.name} was not deleted: ${(error as Error).message}\n  try: banger vm delete ${vm.name}`,
    );
  } finally {
    release();
  }
}
