/** `banger vm list` and `vm show`. */
import { command, jsonFlag, oneRef, quietFlag } from "./command.js";
import { call, print, printJson } from "./context.js";
import { styleFor } from "./render/style.js";

/** Loaded while the daemon thinks: what a command waits for and what it loads add up otherwise. */
const rendering = () => import("./render/vm.js");

export const list = command({
  summary: "List VMs",
  usage: "[flags]",
  examples: ["banger vm list", "banger vm ls --json", "banger vm stop $(banger vm list -q)"],
  flags: { json: jsonFlag, quiet: quietFlag },
  async run(flags, { context }) {
    const [vms, { vmTable }] = await Promise.all([call(context, "vmList"), rendering()]);
    if (flags.json) await printJson(context, vms);
    else if (flags.quiet) await print(context, vms.map(({ id }) => `${id}\n`).join(""));
    else {
      const style = styleFor(context.stdout, context.env);
      await print(context, vmTable(vms, context.clock.now(), { style, width: context.stdout.columns }));
    }
    return 0;
  },
});

export const show = command({
  summary: "Show one VM",
  usage: "REF [flags]",
  examples: ["banger vm show box", "banger vm show box --json"],
  words: oneRef,
  flags: { json: jsonFlag },
  async run(flags, { context, words }) {
    const ref = words[0] ?? "";
    const [vm, { vmDetails }] = await Promise.all([call(context, "vmShow", { ref }), rendering()]);
    if (flags.json) await printJson(context, vm);
    else {
      const notKvm = vm.accelerator === "tcg" ? (await call(context, "daemon")).notKvm : null;
      const style = styleFor(context.stdout, context.env);
      await print(context, vmDetails(vm, notKvm, context.clock.now(), style));
    }
    return 0;
  },
});
