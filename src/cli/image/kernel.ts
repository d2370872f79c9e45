/** `banger kernel`: pull and import; what images have too is in making.ts. */

import { resolve } from "node:path";
import { proxiesOf } from "../../host/proxies.js";
import { usageError } from "../base/check.js";
import { command } from "../base/command.js";
import { call, say } from "../base/context.js";
import { deleteCommand, listCommand, printMade, showCommand, untilReady } from "./pulling.js";

export const list = listCommand("kernel");
export const show = showCommand("kernel");
export const remove = deleteCommand("kernel", "rm");

const oneName = { min: 1, max: 1, name: "NAME" };
const quietFlag = { type: "boolean", alias: "q", description: "Print only the kernel's id" } as const;

export const pull = command({
  summary: "Build a kernel from the catalog",
  usage: "NAME [flags]",
  examples: ["banger kernel pull debian-cloud"],
  words: oneName,
  flags: { quiet: quietFlag },
  async run(flags, { context, words }) {
    const quiet = flags.quiet === true;
    const asked = await call(context, "kernelPull", {
      body: { ref: words[0] ?? "", proxies: proxiesOf(context.env) },
    });
    const { id, already } = await untilReady(context, "kernel", asked, quiet);
    if (already && !quiet) say(context, `${words[0]} is already present`);
    await printMade(context, "kernel", id);
    return 0;
  },
});

export const importKernel = command({
  summary:
    "Copy a kernel from a directory with vmlinux or bzImage, and lib/modules/RELEASE if it needs modules",
  usage: "NAME --from DIR [flags]",
  examples: ["banger kernel import mine --from ./linux"],
  words: oneName,
  flags: {
    from: { type: "string", valueHint: "DIR", description: "Directory with the kernel" },
    quiet: quietFlag,
  },
  async run(flags, { context, words }) {
    if (flags.from === undefined)
      throw usageError("--from is required: the kernel's directory", "--from DIR");
    const body = { name: words[0] ?? "", from: resolve(flags.from) };
    const asked = await call(context, "kernelImport", { body });
    const { id } = await untilReady(context, "kernel", asked, flags.quiet === true);
    await printMade(context, "kernel", id);
    return 0;
  },
});
