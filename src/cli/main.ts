/** The CLI's entry point: from argv to an exit status, with every error as two lines. */
import { systemClock } from "../clock.js";
import { BangerError } from "../errors.js";
import { homeFrom } from "../home.js";
import { type Context, makeContext, print } from "./context.js";
import { dispatch, type Route } from "./dispatch.js";
import { Interrupted, listenForInterrupts } from "./interrupts.js";
import { errorJson, errorText } from "./render/error.js";
import { styleFor } from "./render/style.js";
import { isGroup } from "./tree.js";

/** Codes of errors in the command line itself. */
const usageCodes = new Set(["usage", "bad_size", "bad_duration"]);

/** Runs the process's own command line and ends the process with its status. */
export async function runCli(): Promise<never> {
  for (const stream of [process.stdout, process.stderr]) {
    // A reader such as `head` that has seen enough is no error.
    stream.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));
  }
  const argv = process.argv.slice(2);
  let status: number;
  try {
    const context = makeContext({
      env: process.env,
      home: homeFrom(process.env, process.getuid?.() ?? 0),
      clock: systemClock,
      stdin: () => process.stdin,
      stdout: process.stdout,
      stderr: process.stderr,
      interrupts: listenForInterrupts(process),
    });
    status = await runCommandLine(argv, context);
  } catch (thrown) {
    status = report(thrown, argv);
  }
  process.exit(status);
}

function report(thrown: unknown, argv: readonly string[]): number {
  if (thrown instanceof Interrupted) return thrown.exitStatus;
  const end = argv.indexOf("--");
  const json = argv.slice(0, end === -1 ? undefined : end).includes("--json");
  process.stderr.write(json ? errorJson(thrown) : errorText(thrown, styleFor(process.stderr, process.env)));
  return thrown instanceof BangerError && usageCodes.has(thrown.code) ? 2 : 1;
}

/** @throws BangerError for whatever fails; the caller prints it. */
export async function runCommandLine(argv: readonly string[], context: Context): Promise<number> {
  const route = dispatch(argv);
  const { leaf } = route;
  if (leaf === undefined || route.help) return printHelp(route, context);
  const command = await leaf.load();
  const { checkArguments, usageError } = await import("./check.js");
  if (route.command !== undefined && command.takesCommand !== true) {
    throw usageError(`banger ${route.path} takes no command after --`, `banger ${route.path} --help`);
  }
  const { words, all } = checkArguments(command, route.path, route.rest);
  const { runCommand } = await import("citty");
  const data = { context, words, all, command: route.command };
  const { result } = await runCommand(command.definition, { rawArgs: route.rest, data });
  return (result as number | undefined) ?? 0;
}

async function printHelp({ node, leaf, path }: Route, context: Context): Promise<number> {
  const { commandHelp, groupHelp } = await import("./help.js");
  const style = styleFor(context.stdout, context.env);
  if (isGroup(node)) await print(context, groupHelp(node, path, style));
  if (leaf !== undefined) {
    const command = await leaf.load();
    const more = await command.moreHelp?.(context);
    await print(context, `${isGroup(node) ? "\n" : ""}${commandHelp(command, path, style, more)}`);
  }
  return 0;
}
