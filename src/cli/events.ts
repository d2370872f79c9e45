/** `banger events`, `events verify` and `events replay`. */
import type { EventsQuery } from "../contract/events.js";
import { usageError } from "./base/check.js";
import { command } from "./base/command.js";
import { call, print, printJson } from "./base/context.js";
import { follow } from "./base/follow.js";
import { wholeNumber } from "./base/numbers.js";
import { eventLine, verifyText } from "./render/event.js";
import { jsonText, styleFor } from "./render/style.js";

/** `--since` takes a seq as well as a time; the API has a field for each. */
export function sinceQuery(text: string): Pick<EventsQuery, "after" | "since"> {
  return /^\d+$/.test(text) ? { after: Number(text) } : { since: text };
}

export const events = command({
  summary: "Print events, from all streams or one",
  usage: "[REF] [flags]",
  examples: [
    "banger events",
    "banger events --last 20 -f",
    "banger events box --since yesterday",
    'banger events --type "vm.*" -f',
    "banger events image/debian-slim-0a1b2c3d --json",
  ],
  words: { min: 0, max: 1, name: "REF" },
  flags: {
    since: {
      type: "string",
      valueHint: "T|SEQ",
      description: "Events after a seq, or since a time such as 10m, yesterday or 2026-01-31T12:00:00Z",
    },
    type: { type: "string", valueHint: "GLOB", description: 'Types such as "vm.*"' },
    last: { type: "string", valueHint: "N", description: "Only the last N events" },
    request: { type: "string", valueHint: "ID", description: "Only events caused by this request" },
    limit: { type: "string", valueHint: "N", description: "At most N events, oldest first" },
    follow: { type: "boolean", alias: "f", description: "Keep printing new output" },
  },
  async run(flags, { context, words }) {
    const { signal } = context.interrupts;
    const query: EventsQuery = {
      ...(words[0] !== undefined && { ref: words[0] }),
      ...(flags.since !== undefined && sinceQuery(flags.since)),
      ...(flags.type !== undefined && { type: flags.type }),
      ...(flags.limit !== undefined && { limit: wholeNumber("limit", flags.limit, 1_000_000) }),
      ...(flags.last !== undefined && { last: wholeNumber("last", flags.last, 10_000) }),
      ...(flags.request !== undefined && { cause: `request:${flags.request.replace(/^request:/, "")}` }),
    };
    if (query.limit === 0) return 0;
    const style = styleFor(context.stdout, context.env);
    const found = flags.follow === true ? follow(context, query) : context.client.events(query, signal);
    for await (const event of found) {
      const line = context.json ? `${jsonText(event)}\n` : eventLine(event, context.clock.now(), style);
      await print(context, line);
    }
    return 0;
  },
});

export const verify = command({
  summary: "Replay the log and compare the result with the live state; exit status 1 if they differ",
  usage: "[flags]",
  examples: ["banger events verify"],
  flags: {},
  async run(flags, { context }) {
    const result = await call(context, "eventsVerify");
    if (context.json) await printJson(context, result);
    else await print(context, verifyText(result, styleFor(context.stdout, context.env)));
    return result.ok ? 0 : 1;
  },
});

export const replay = command({
  summary: "Print the state at an earlier event after an event, as JSON",
  usage: "--until SEQ",
  examples: ["banger events replay --until 120"],
  flags: {
    until: { type: "string", valueHint: "SEQ", description: "Seq of the last event to fold" },
  },
  async run(flags, { context }) {
    if (flags.until === undefined) throw usageError("--until is missing", "banger events replay --until 120");
    const until = wholeNumber("until", flags.until, Number.MAX_SAFE_INTEGER);
    await printJson(context, await call(context, "eventsReplay", { query: { until } }));
    return 0;
  },
});
