/** `banger version`. */
import { readFileSync } from "node:fs";
import { command } from "./base/command.js";
import { print, printJson } from "./base/context.js";

/** The version of the program that runs, from its package.json. */
export function programVersion(): string {
  const text = readFileSync(new URL("../../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

export const version = command({
  summary: "Print the version",
  usage: "[flags]",
  examples: ["banger version"],
  flags: {},
  async run(flags, { context }) {
    const number = programVersion();
    if (context.json) await printJson(context, { version: number });
    else await print(context, `banger ${number}\n`);
    return 0;
  },
});
