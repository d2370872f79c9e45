/** The CLI's entry point: from argv to an exit status, with every error as two lines. */

import type { ParsedArgs } from "citty";
import { Client } from "../client/client.js";
import { homeHandles } from "../home/handles.js";
import { placeFrom } from "../host/home.js";
import { systemClock } from "../lib/clock.js";
import { checkArguments, usageError } from "./base/check.js";
import type { Command } from "./base/command.js";
import { type Context, print, startDaemonOf, withJson } from "./base/context.js";
import { exitStatusOf } from "./base/exit-status.js";
import { Interrupted, type Interrupts, listenForInterrupts } from "./base/interrupts.js";
import { refuseOtherBytes } from "./base/other-bytes.js";
import { forReader, watchMessages, watchOutput, write } from "./base/output.js";
import { dispatch, type Route } from "./dispatch.js";
import { isGroup } from "./tree.js";
import { standardInput } from "./vm/terminal-input.js";

interface CommandLine {
  argv: readonly string[];
  /** What it means, once that is known. */
  command?: Command;
}

/** Set by bin/banger, for this process alone. */
const ignoredSignals = "BANGER_SIGNALS_IGNORED";

/** Runs the process's own command line and ends the process with its status. */
export async function runCli(): Promise<never> {
  const argv = process.argv.slice(2);
  const line: CommandLine = { argv };
  const interrupts = listenForInterrupts(process, process.env[ignoredSignals] ?? "");
  delete process.env[ignoredSignals];
  let status: number;
  try {
    status = await runCommandLine(line, processContext(interrupts));
    // What failed of the output may be known only now.
    interrupts.signal.throwIfAborted();
  } catch (thrown) {
    // What ended the command is told, not what else broke because of it.
    const cause: unknown = interrupts.signal.aborted ? interrupts.signal.reason : thrown;
    await report(cause, argv);
    status = exitStatusOf(cause, line.command?.guestStatus === true);
  }
  process.exit(status);
}

/** The context of this process. Its streams are made when they are first asked for: each costs a millisecond. */
function processContext(interrupts: Interrupts): Context {
  const place = placeFrom(process.env, process.getuid?.() ?? 0);
  const { mode, home } = place;
  const owner = place.mode === "system" ? place.installed.owner.uid : undefined;
  const context: Context = {
    env: process.env,
    mode,
    home,
    clock: systemClock,
    client: new Client(homeHandles(home).apiSocket, owner, () => startDaemonOf(context)),
    interrupts,
    json: false,
    get stdin() {
      return standardInput();
    },
    get stdout() {
      return watchOutput(process.stdout, interrupts);
    },
    get stderr() {
      return watchMessages(process.stderr);
    },
  };
  return context;
}

async function report(thrown: unknown, argv: readonly string[]): Promise<void> {
  if (thrown instanceof Interrupted) return;
  const end = argv.indexOf("--");
  const { errorJson, errorText } = await import("./render/error.js");
  const { styleFor } = await import("./render/style.js");
  const json = argv.slice(0, end === -1 ? undefined : end).includes("--json");
  const text = json ? errorJson(thrown) : errorText(thrown, styleFor(process.stderr, process.env));
  // Where even this cannot be written the status is all that is left.
  await write(watchMessages(process.stderr), forReader(process.stderr, text)).catch(() => undefined);
}

/** @throws BangerError for whatever fails; the caller prints it. */
async function runCommandLine(line: CommandLine, context: Context): Promise<number> {
  const route = await dispatch(line.argv);
  const { leaf } = route;
  if (leaf === undefined || route.help) return printHelp(route, context);
  const command = await leaf.load();
  line.command = command;
  refuseOtherBytes(line.argv);
  if (route.command !== undefined && command.takesCommand !== true) {
    throw usageError(`banger ${route.path} takes no command after --`, `banger ${route.path} --help`);
  }
  const parsed = await checkArguments({
    command,
    path: route.path,
    argv: route.rest,
    dashes: route.command !== undefined,
  });
  const { runCommand } = await import("citty");
  const definition = {
    args: command.flags,
    run: ({ args }: { args: ParsedArgs }) =>
      command.run(args, {
        ...parsed,
        context: args["json"] === true ? withJson(context) : context,
        command: route.command,
      }),
  };
  const { result } = await runCommand(definition, { rawArgs: route.rest });
  return (result as number | undefined) ?? 0;
}

async function printHelp({ node, leaf, path }: Route, context: Context): Promise<number> {
  const { commandHelp, groupHelp } = await import("./help.js");
  const { styleFor } = await import("./render/style.js");
  const style = styleFor(context.stdout, context.env);
  if (isGroup(node)) await print(context, groupHelp(node, path, style));
  if (leaf !== undefined) {
    const command = await leaf.load();
    const more = await command.moreHelp?.(context);
    await print(context, `${isGroup(node) ? "\n" : ""}${commandHelp(command, path, style, more)}`);
  }
  return 0;
}
