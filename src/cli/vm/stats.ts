/** `banger vm stats`: the resource usage of VMs, once or live. */

import type { VmStats } from "../../contract/contract.js";
import { orAborted } from "../../host/wait.js";
import { pause } from "../../lib/clock.js";
import { BangerError } from "../../lib/errors.js";
import { command } from "../base/command.js";
import { type Context, call, print, say } from "../base/context.js";
import { statsLine, statsTitles } from "../render/stats.js";
import { jsonText, styleFor } from "../render/style.js";

/** Long enough for the share of a processor to mean something, short enough not to be noticed. */
const firstLookMs = 300;

interface Looked {
  id: string;
  name: string;
  stats: VmStats;
}

export const stats = command({
  summary: "Show the CPU, memory and disk usage of VMs",
  usage: "[REF…] [flags]",
  examples: ["banger vm stats", "banger vm stats box --watch", "banger vm stats box --json"],
  words: { min: 0, max: Number.POSITIVE_INFINITY, name: "REF" },
  flags: {
    watch: { type: "boolean", alias: "w", description: "Keep printing, one line at a time, until Ctrl-C" },
  },
  moreHelp: async () => "\nWithout REF: every VM that runs. With --json a line for each look at a VM.\n",
  async run(flags, { context, words }) {
    const style = styleFor(context.stdout, context.env);
    const intervalMs = flags.watch ? await pollInterval(context) : 0;
    let before = await look(context, words);
    if (before.length === 0 && !context.json) say(context, "no VM is running");
    if (before.length === 0) return 0;
    const width = Math.max("NAME".length, ...before.map(({ name }) => name.length));
    if (!context.json) await print(context, style.dim(statsTitles(width)));
    for (let waitMs = firstLookMs; ; waitMs = intervalMs) {
      await orAborted(pause(waitMs), context.interrupts.signal);
      const now = await look(context, words);
      for (const { id, name, stats } of now) {
        const cpu = cpuShare(before.find((each) => each.id === id)?.stats, stats);
        const json = () => `${jsonText({ id, name, ...stats, cpu })}\n`;
        await print(context, context.json ? json() : statsLine(name, width, stats, cpu));
      }
      if (!flags.watch) return 0;
      before = now;
    }
  },
});

/** What the VMs use that are named, or all that run. One that goes meanwhile is missed only by who named it. */
async function look(context: Context, refs: readonly string[]): Promise<Looked[]> {
  const named = refs.length > 0;
  const vms = named
    ? await Promise.all([...new Set(refs)].map((ref) => call(context, "vmShow", { ref })))
    : (await call(context, "vmList")).filter(({ phase }) => phase === "running");
  const looks = vms.map(async ({ id, name }) => {
    try {
      return [{ id, name, stats: await call(context, "vmStats", { ref: id }) }];
    } catch (error) {
      if (!named && error instanceof BangerError && error.code === "vm_not_found") return [];
      throw error;
    }
  });
  return (await Promise.all(looks)).flat();
}

/** Processors in use between two looks: 1 is one whole one; null when no VMM ran all the while. */
function cpuShare(before: VmStats | undefined, now: VmStats): number | null {
  if (before === undefined) return null;
  const tookMs = Date.parse(now.at) - Date.parse(before.at);
  if (before.cpuMs === null || now.cpuMs === null || now.cpuMs < before.cpuMs || tookMs <= 0) return null;
  return Math.round(((now.cpuMs - before.cpuMs) / tookMs) * 100) / 100;
}

async function pollInterval(context: Context): Promise<number> {
  const { loadConfig } = await import("../../config/config.js");
  const { homeHandles } = await import("../../home/handles.js");
  return loadConfig(homeHandles(context.home).configFile).statsPollIntervalMs;
}
