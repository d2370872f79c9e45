/** `banger vm list` and `vm show`. */
import { usageError } from "../base/check.js";
import { command, oneRef, quietFlag } from "../base/command.js";
import { type Context, call, print, printJson } from "../base/context.js";
import { filterFlag, filterOf } from "../base/filter.js";
import { styleFor } from "../render/style.js";

/** Loaded while the daemon thinks: what a command waits for and what it loads add up otherwise. */
const rendering = () => import("../render/vm.js");
const unknowns = () => import("./unknown-vms.js");

/** Asks for what no list has; the result tells of it, once the list is there. */
async function unknownTeller(context: Context): Promise<() => void> {
  const { tellUnknown, unknownVms } = await unknowns();
  const unknown = await unknownVms(context);
  return () => tellUnknown(context, unknown);
}

export const list = command({
  summary: "List VMs",
  usage: "[flags]",
  examples: [
    "banger vm list",
    "banger vm ls --json --filter label=task=42",
    "banger vm stop $(banger vm list -q --filter state=running)",
    "banger vm list --unknown",
  ],
  flags: {
    quiet: quietFlag,
    filter: filterFlag,
    unknown: {
      type: "boolean",
      description: "Running VMs that are not in the log, for example after a backup was restored",
    },
  },
  async run(flags, { context, all }) {
    if (flags.unknown === true) {
      if (all["filter"] !== undefined)
        throw usageError("VMs that are not in the log have no details", "banger vm list --unknown");
      await (await unknowns()).listUnknown(context, flags.quiet === true);
      return 0;
    }
    const passes = filterOf(all["filter"]);
    const forPeople = !context.json && flags.quiet !== true && all["filter"] === undefined;
    const [every, { vmTable }, tellUnknown] = await Promise.all([
      call(context, "vmList"),
      rendering(),
      forPeople ? unknownTeller(context) : undefined,
    ]);
    const vms = every.filter(passes);
    if (context.json) await printJson(context, vms);
    else if (flags.quiet) await print(context, vms.map(({ id }) => `${id}\n`).join(""));
    else {
      const style = styleFor(context.stdout, context.env);
      await print(context, vmTable(vms, context.clock.now(), { style, width: context.stdout.columns }));
      tellUnknown?.();
    }
    return 0;
  },
});

export const show = command({
  summary: "Show one VM",
  usage: "REF [flags]",
  examples: ["banger vm show box", "banger vm show box --json"],
  words: oneRef,
  flags: {},
  async run(flags, { context, words }) {
    const ref = words[0] ?? "";
    const [vm, { vmDetails }] = await Promise.all([call(context, "vmShow", { ref }), rendering()]);
    if (context.json) await printJson(context, vm);
    else {
      const notKvm = vm.accelerator === "tcg" ? (await call(context, "daemon")).notKvm : null;
      const style = styleFor(context.stdout, context.env);
      await print(context, vmDetails(vm, notKvm, context.clock.now(), style));
    }
    return 0;
  },
});
