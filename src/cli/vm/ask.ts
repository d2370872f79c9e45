/** `banger vm health|ports|history|why`: one question, one answer. */
import type { PortView } from "../../contract/contract.js";
import { command, oneRef } from "../base/command.js";
import { call, print, printJson } from "../base/context.js";
import { clean, styleFor } from "../render/style.js";
import { healthText, historyText, portTable } from "../render/vm.js";

export const health = command({
  summary: "Check whether a VM's guest is healthy; exit status 1 if not",
  usage: "REF [flags]",
  examples: ["banger vm health box"],
  words: oneRef,
  flags: {},
  async run(flags, { context, words }) {
    const answer = await call(context, "vmHealth", { ref: words[0] ?? "" });
    if (context.json) await printJson(context, answer);
    else await print(context, healthText(answer, styleFor(context.stdout, context.env)));
    return answer.healthy ? 0 : 1;
  },
});

export const ports = command({
  summary: "List a VM's listening ports and where to reach them from the host",
  usage: "REF [flags]",
  examples: ["banger vm ports box", "banger vm ports box --json"],
  words: oneRef,
  flags: {},
  async run(flags, { context, words }) {
    const answer = await call(context, "vmPorts", { ref: words[0] ?? "" });
    const style = styleFor(context.stdout, context.env);
    if (context.json) await printJson(context, answer);
    else
      await print(
        context,
        portTable(answer, await namesWork(answer), { style, width: context.stdout.columns }),
      );
    return 0;
  },
});

/** Whether the ports can be shown under the VM's name, because the name leads there from this host. */
async function namesWork(ports: readonly PortView[]): Promise<boolean> {
  const found = ports.find(({ endpoint }) => endpoint !== null);
  if (!found?.endpoint || !found.named) return false;
  const { isRouted } = await import("./routed.js");
  return isRouted(hostOf(found.named), hostOf(found.endpoint));
}

const hostOf = (endpoint: string): string => endpoint.split(":")[0] ?? "";

export const history = command({
  summary: "Show a VM's history: what happened, when, and how long it took",
  usage: "REF [flags]",
  examples: ["banger vm history box"],
  words: oneRef,
  flags: {},
  async run(flags, { context, words }) {
    const answer = await call(context, "vmHistory", { ref: words[0] ?? "" });
    const style = styleFor(context.stdout, context.env);
    if (context.json) await printJson(context, answer);
    else await print(context, historyText(answer, context.clock.now(), style));
    return 0;
  },
});

export const why = command({
  summary: "Explain how a VM got into its current state",
  usage: "REF [flags]",
  examples: ["banger vm why box"],
  words: oneRef,
  flags: {},
  async run(flags, { context, words }) {
    const answer = await call(context, "vmWhy", { ref: words[0] ?? "" });
    if (context.json) await printJson(context, answer);
    else await print(context, answer.sentences.map((sentence) => `${clean(sentence)}\n`).join(""));
    return 0;
  },
});
