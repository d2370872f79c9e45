/** `banger vm logs`. */
import { StringDecoder } from "node:string_decoder";
import type { LogsQuery } from "../../contract/contract.js";
import { usageError } from "../base/check.js";
import { command, oneRef, rawFlag } from "../base/command.js";
import { type Context, print, withDaemon } from "../base/context.js";
import { surviving } from "../base/follow.js";
import { wholeNumber } from "../base/numbers.js";
import { guestOutput, write } from "../base/output.js";
import { jsonText } from "../render/style.js";

const mostLines = 1_000_000;

/** Longer than any line that a program writes; what is longer comes in pieces. */
const longestLine = 65_536;

async function* linesOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new StringDecoder("utf8");
  let rest = "";
  for await (const chunk of chunks) {
    const lines = (rest + decoder.write(chunk)).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) yield line.replace(/\r$/, "");
    if (rest.length >= longestLine) {
      yield rest;
      rest = "";
    }
  }
  rest += decoder.end();
  if (rest !== "") yield rest;
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
    await withDaemon(context, async () => {
      const chunks =
        flags.follow === true
          ? followed(context, ref, query)
          : context.client.logs(ref, query, context.interrupts.signal);
      if (context.json) {
        for await (const text of linesOf(chunks)) await print(context, `${jsonText({ text })}\n`);
        return;
      }
      for await (const chunk of chunks) await write(output, chunk);
    });
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
  for await (const chunk of surviving(context, open)) {
    at += chunk.length;
    asked = { source, follow: true, from: at };
    yield chunk;
  }
}
