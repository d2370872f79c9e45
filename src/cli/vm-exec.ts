/** `banger vm exec`. */
import { usageError } from "./check.js";
import { command, oneRef } from "./command.js";
import type { Context } from "./context.js";
import { errorText } from "./render/error.js";
import { styleFor } from "./render/style.js";
import { runSession, type SessionRequest } from "./session.js";

/** `K=V` words as an environment. @throws BangerError `usage` */
export function environmentOf(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf("=");
      if (at < 1) throw usageError(`--env: "${pair}" is not NAME=VALUE`, "--env NAME=VALUE");
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

/** Whether a command gets a terminal without being asked: when its user sits at one on both ends. */
export const onTerminal = ({ stdin, stdout }: Context): boolean =>
  stdin().isTTY === true && stdout.isTTY === true;

/** Runs the session and prints why the command could not run, if it could not. */
export async function sessionStatus(context: Context, ref: string, request: SessionRequest): Promise<number> {
  const { status, error } = await runSession(context, ref, request);
  if (error !== undefined) {
    context.stderr.write(errorText(error, styleFor(context.stderr, context.env)));
  }
  return status;
}

export const exec = command({
  summary: "Run a command in a running VM; ends with the command's status",
  usage: "REF [flags] -- CMD…",
  examples: [
    "banger vm exec box -- uname -a",
    "banger vm exec box -t -- bash -l",
    "banger vm exec box --cwd /etc --env DEBUG=1 -- ls -l",
    "tar c . | banger vm exec box -- tar x -C /root",
  ],
  words: oneRef,
  takesCommand: true,
  flags: {
    tty: { type: "boolean", alias: "t", description: "Give the command a terminal" },
    interactive: {
      type: "boolean",
      alias: "i",
      default: true,
      description: "Leave this input alone; the command reads an end of file",
    },
    cwd: { type: "string", valueHint: "DIR", description: "Directory to run it in; /root without it" },
    env: { type: "string", valueHint: "NAME=VALUE", description: "Environment; can be given again" },
  },
  async run(flags, { context, words, all, command: argv }) {
    const [ref = ""] = words;
    if (argv === undefined || argv.length === 0) {
      throw usageError("the command is missing", `banger vm exec ${ref} -- uname -a`);
    }
    const input = flags.interactive !== false;
    if (flags.tty === true && !(input && onTerminal(context))) {
      throw usageError("--tty needs a terminal for input and output", `banger vm exec ${ref} -- CMD`);
    }
    return sessionStatus(context, ref, {
      argv,
      tty: flags.tty === true,
      input,
      ...(flags.cwd !== undefined && { cwd: flags.cwd }),
      env: environmentOf(all["env"] ?? []),
    });
  },
});
