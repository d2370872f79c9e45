/** `banger vm create`. */
import type { DefaultsView } from "../../contract/daemon.js";
import { homeHandles } from "../../home/handles.js";
import { formatSize } from "../../lib/sizes.js";
import { command } from "../base/command.js";
import { type Context, call, print, printJson } from "../base/context.js";
import { waitOf } from "./boot-wait.js";
import { createVm, newVmFlags, waitUntilReady } from "./new.js";

export const create = command({
  summary: "Create a VM and start it",
  usage: "[flags]",
  examples: [
    "banger vm create --name box",
    "banger vm create --vcpu 2 --memory 1G --disk-size 4G",
    "banger vm create --no-start",
  ],
  flags: {
    ...newVmFlags,
    start: { type: "boolean", default: true, description: "Only create it; do not start it" },
    quiet: { type: "boolean", alias: "q", description: "Print only its id" },
  },
  moreHelp: defaultsHelp,
  async run(flags, { context, all }) {
    const quiet = flags.quiet === true || context.json === true;
    const start = flags.start !== false;
    const until = waitOf(flags.wait);
    const vm = await createVm(context, flags, { start, quiet, all });
    if (start) await waitUntilReady(context, vm, quiet, until);
    if (context.json) await printJson(context, await call(context, "vmShow", { ref: vm.id }));
    else await print(context, quiet ? `${vm.id}\n` : `${vm.name} ${start ? "running" : "created"}\n`);
    return 0;
  },
});

/** The defaults of new VMs, each with where it came from; needs no daemon. */
export async function defaultsHelp(context: Context): Promise<string> {
  const { defaultsOf } = await import("../../config/defaults.js");
  const { loadConfig } = await import("../../config/config.js");
  return defaultsText(defaultsOf(loadConfig(homeHandles(context.home).configFile)));
}

export const defaultsText = ({ vcpu, memoryMiB, diskMiB, rootMiB, image }: DefaultsView): string =>
  [
    "Defaults:\n",
    `  --vcpu ${vcpu.value} (${vcpu.source})\n`,
    `  --memory ${formatSize(memoryMiB.value)} (${memoryMiB.source})\n`,
    `  --disk-size ${formatSize(diskMiB.value)} (${diskMiB.source})\n`,
    `  --root-size ${rootMiB.value === null ? "the image's" : formatSize(rootMiB.value)} (${rootMiB.source})\n`,
    `  --image ${image}\n`,
  ].join("");
