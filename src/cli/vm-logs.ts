/** `banger vm logs`. */
import { usageError } from "./check.js";
import { command, oneRef } from "./command.js";
import { print, withDaemon } from "./context.js";
import { wholeNumber } from "./whole-number.js";

const mostLines = 1_000_000;

export const logs = command({
  summary: "Print a VM's console log, or what its VMM said",
  usage: "REF [flags]",
  examples: ["banger vm logs box", "banger vm logs box -f --tail 20", "banger vm logs box --source vmm"],
  words: oneRef,
  flags: {
    follow: { type: "boolean", alias: "f", description: "Go on printing what comes" },
    source: { type: "string", valueHint: "console|vmm", description: "Which log; console without it" },
    tail: { type: "string", valueHint: "N", description: "Last N lines only" },
  },
  async run(flags, { context, words }) {
    const { source = "console" } = flags;
    if (source !== "console" && source !== "vmm") {
      const hint = source === "events" ? `banger events ${words[0]}` : "--source console, or --source vmm";
      throw usageError(`--source: there is no log "${source}"`, hint);
    }
    const query = {
      source,
      ...(flags.follow === true && { follow: true }),
      ...(flags.tail !== undefined && { tail: wholeNumber("tail", flags.tail, mostLines) }),
    } as const;
    const ref = words[0] ?? "";
    await withDaemon(context, async () => {
      for await (const chunk of context.client.logs(ref, query, context.interrupts.signal)) {
        await print(context, chunk);
      }
    });
    return 0;
  },
});
