/** `banger vm prune`. */
import type { VmView } from "../../contract/contract.js";
import { command } from "../base/command.js";
import { confirmed } from "../base/confirm.js";
import { type Context, call, print, printJson, say } from "../base/context.js";
import { filterFlag, filterOf } from "../base/filter.js";
import { styleFor } from "../render/style.js";
import { vmTable } from "../render/vm.js";
import { act } from "./act.js";
import { resultJson } from "./result.js";

/** VMs that nobody uses: neither running nor on their way up or down. */
export const prunable = (vms: readonly VmView[]): VmView[] =>
  vms.filter(({ phase }) => phase === "stopped" || phase === "error");

export const prune = command({
  summary: "Delete all VMs that are stopped or in error, after asking",
  usage: "[flags]",
  examples: ["banger vm prune --dry-run", "banger vm prune -f", "banger vm prune -f --filter label=ci"],
  flags: {
    force: { type: "boolean", alias: "f", description: "Do not ask" },
    filter: filterFlag,
    "dry-run": { type: "boolean", description: "Print what would be deleted; delete nothing" },
  },
  async run(flags, { context, all }) {
    const passes = filterOf(all["filter"]);
    const vms = prunable(await call(context, "vmList")).filter(passes);
    const dryRun = flags["dry-run"] === true;
    if (context.json && (dryRun || vms.length === 0)) {
      await printJson(context, { dryRun, vms: vms.map(({ id, name }) => ({ id, name })) });
      return 0;
    }
    if (vms.length === 0) {
      say(context, "nothing to delete: no VM is stopped or in error");
      return 0;
    }
    if (dryRun) {
      for (const { name } of vms) await print(context, `${name} would be deleted\n`);
      return 0;
    }
    if (!flags.force) {
      const style = styleFor(context.stderr, context.env);
      context.stderr.write(vmTable(vms, context.clock.now(), { style, width: context.stderr.columns }));
      const question =
        vms.length === 1
          ? "Delete this VM and its disks?"
          : `Delete these ${vms.length} VMs and their disks?`;
      if (!(await confirmed(context, question, "banger vm prune -f"))) {
        say(context, "nothing was deleted");
        return 1;
      }
    }
    const ids = vms.map(({ id }) => id);
    const { results, ok } = await act(context, "delete", ids, { quiet: false });
    if (context.json) {
      await printJson(context, { dryRun, vms: results.map((result) => resultJson(result, "deleted")) });
    }
    const failed = results.filter(({ end }) => end !== "done").map(({ name }) => name);
    if (!ok) say(context, `${failed.length} of ${results.length} were not deleted: ${failed.join(", ")}`);
    return ok ? 0 : 1;
  },
});
