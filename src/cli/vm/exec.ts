/** `banger vm exec`. */

import { usageError } from "../base/check.js";
import { command, oneRef } from "../base/command.js";
import { printJson } from "../base/context.js";
import { runCaptured } from "./captured.js";
import { environmentFlags, environmentOf } from "./environment.js";
import { imageEnvFlag, imageEnvOf } from "./new.js";
import { inputFlags, onTerminal, runSession, takesInput } from "./session.js";

export const exec = command({
  summary: "Run a command in a running VM and exit with its status",
  usage: "REF [flags] -- CMD…",
  examples: [
    "banger vm exec box -- uname -a",
    "banger vm exec box -t -- bash -l",
    "banger vm exec box --cwd /etc --env DEBUG=1 -- ls -l",
    "tar c . | banger vm exec box -- tar x -C /root",
    'while read -r name; do banger vm exec box -n -- touch "$name"; done <names',
  ],
  words: oneRef,
  takesCommand: true,
  guestStatus: true,
  flags: {
    tty: { type: "boolean", alias: "t", description: "Allocate a terminal for the command" },
    ...inputFlags,
    cwd: {
      type: "string",
      valueHint: "DIR",
      description:
        "Working directory, absolute or relative to the default: the VM's repository, the image's directory, or /root",
    },
    ...environmentFlags,
    "image-env": imageEnvFlag,
  },
  async run(flags, { context, words, all, command: argv }) {
    const [ref = ""] = words;
    if (argv === undefined || argv.length === 0) {
      throw usageError("the command is missing", `banger vm exec ${ref} -- uname -a`);
    }
    const input = takesInput(flags);
    if (flags.tty === true && !(input && onTerminal(context))) {
      throw usageError("--tty needs a terminal for input and output", `banger vm exec ${ref} -- CMD`);
    }
    if (flags.tty === true && context.json)
      throw usageError("--json and --tty cannot be combined", "leave one of them out");
    const request = {
      argv,
      tty: flags.tty === true,
      input,
      ...(flags.cwd !== undefined && { cwd: flags.cwd }),
      env: environmentOf(all, context.env),
      ...imageEnvOf(flags["image-env"]),
    };
    if (!context.json) return runSession(context, ref, request);
    const captured = await runCaptured(context, ref, request);
    await printJson(context, captured);
    return captured.status;
  },
});
