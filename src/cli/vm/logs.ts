/** `banger vm logs`. */
import type { LogsQuery } from "../../contract/contract.js";
import { linesOf } from "../../lib/lines.js";
import { usageError } from "../base/check.js";
import { command, oneRef, rawFlag } from "../base/command.js";
import { type Context, print } from "../base/context.js";
import { surviving } from "../base/follow.js";
import { wholeNumber } from "../base/numbers.js";
import { guestOutput, write } from "../base/output.js";
import { jsonText } from "../render/style.js";

const mostLines = 1_000_000;

/** The lines as text; what is longer than any line that a program writes comes in pieces. */
async function* textLines(chunks: AsyncIterable<Buffer>): AsyncGenerator<string> {
  for await (const line of linesOf(chunks)) yield line.replace(/\r$/, "");
}

export const logs = command({
  summary: "Print a VM's console log or its VMM's log",
  usage: "REF [flags]",
  examples: ["banger vm logs box", "banger vm logs box -f --tail 20", "banger vm logs box --source vmm"],
  words: oneRef,
  flags: {
    follow: { type: "boolean", alias: "f", description: "Keep printing new output" },
    source: { type: "string", valueHint: "console|vmm", description: "Which log (default: console)" },
    raw: rawFlag,
    tail: { type: "string", valueHint: "N", description: "Only the last N lines" },
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
    const output = guestOutput(context.stdout, flags.raw === true);
    const chunks =
      flags.follow === true
        ? followed(context, ref, query)
        : context.client.logs(ref, query, context.interrupts.signal);
    if (context.json) {
      for await (const text of textLines(chunks)) await print(context, `${jsonText({ text })}\n`);
    } else {
      for await (const chunk of chunks) await write(output, chunk);
    }
    return 0;
  },
});

/** The log's bytes without end. Goes on where it was when the daemon went away, without a byte lost or doubled. */
async function* followed(context: Context, ref: string, query: LogsQuery): AsyncGenerator<Buffer> {
  const { source = "console" } = query;
  let [asked, at] = [query, 0];
  const began = (offset: number) => {
    at = offset;
  };
  const open = () => context.client.logs(ref, asked, context.interrupts.signal, began);
  for await (const chunk of surviving(open)) {
    at += chunk.length;
    asked = { source, follow: true, from: at };
    yield chunk;
  }
}
