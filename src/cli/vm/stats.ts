/** `banger vm stats`: a VM's resource usage, once or live. */

import type { VmStats } from "../../contract/contract.js";
import { pause } from "../../lib/clock.js";
import { command, oneRef } from "../base/command.js";
import { type Context, call, print } from "../base/context.js";
import { statsLine } from "../render/stats.js";
import { jsonText, styleFor } from "../render/style.js";

/** Long enough for the share of a processor to mean something, short enough not to be noticed. */
const firstLookMs = 300;

export const stats = command({
  summary: "Show a VM's CPU, memory and disk usage",
  usage: "REF [flags]",
  examples: ["banger vm stats box", "banger vm stats box --watch", "banger vm stats box --json"],
  words: oneRef,
  flags: {
    watch: { type: "boolean", alias: "w", description: "Keep printing, one line at a time, until Ctrl-C" },
  },
  async run(flags, { context, words: [ref = ""] }) {
    const style = styleFor(context.stdout, context.env);
    const intervalMs = flags.watch ? await pollInterval(context) : 0;
    let before = await call(context, "vmStats", { ref });
    if (!context.json) await print(context, style.dim(statsLine(undefined)));
    for (let waitMs = firstLookMs; ; waitMs = intervalMs) {
      await sleep(context, waitMs);
      const now = await call(context, "vmStats", { ref });
      const cpu = cpuShare(before, now);
      await print(context, context.json ? `${jsonText({ ...now, cpu })}\n` : statsLine(now, cpu));
      if (!flags.watch) return 0;
      before = now;
    }
  },
});

/** Processors in use between two looks: 1 is one whole one; null when no VMM ran all the while. */
function cpuShare(before: VmStats, now: VmStats): number | null {
  const tookMs = Date.parse(now.at) - Date.parse(before.at);
  if (before.cpuMs === null || now.cpuMs === null || now.cpuMs < before.cpuMs || tookMs <= 0) return null;
  return Math.round(((now.cpuMs - before.cpuMs) / tookMs) * 100) / 100;
}

async function pollInterval(context: Context): Promise<number> {
  const { loadConfig } = await import("../../config/config.js");
  const { homeHandles } = await import("../../home/handles.js");
  return loadConfig(homeHandles(context.home).configFile).statsPollIntervalMs;
}

/** Ends early, with the interruption, on Ctrl-C. */
function sleep({ interrupts: { signal } }: Context, ms: number): Promise<void> {
  const interrupted = new Promise<never>((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  return Promise.race([pause(ms), interrupted]);
}
