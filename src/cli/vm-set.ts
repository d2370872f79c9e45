/** `banger vm set`. */
import { BangerError } from "../errors.js";
import { usageError } from "./check.js";
import { command, manyRefs } from "./command.js";
import { call, print, say } from "./context.js";
import { newVmFlags, specOf } from "./new-vm.js";
import { errorText } from "./render/error.js";
import { styleFor } from "./render/style.js";
import { specText } from "./render/vm.js";

export const set = command({
  summary: "Change what VMs have; a VM that runs gets it when it is started again",
  usage: "REF… [flags]",
  examples: [
    "banger vm set box --memory 4G",
    "banger vm set box --disk-size 20G",
    "banger vm set box --nat off",
  ],
  words: manyRefs,
  flags: {
    vcpu: newVmFlags.vcpu,
    memory: newVmFlags.memory,
    "disk-size": { ...newVmFlags["disk-size"], description: "Size of the work disk at /root; it only grows" },
    nat: {
      type: "string",
      valueHint: "on|off",
      description: "Whether the guest may open connections to the outside",
    },
  },
  async run({ nat, vcpu, memory, "disk-size": diskSize }, { context, words }) {
    if (nat !== undefined && nat !== "on" && nat !== "off")
      throw usageError(`--nat: "${nat}" is not on or off`, "--nat on");
    const spec = {
      ...specOf({ vcpu, memory, "disk-size": diskSize }),
      ...(nat !== undefined && { nat: nat === "on" }),
    };
    if (Object.keys(spec).length === 0)
      throw usageError("nothing to change", "banger vm set REF --memory 4G");
    const { results } = await call(context, "vmSet", { body: { refs: [...new Set(words)], spec } });
    const restart: string[] = [];
    for (const { ref, vm, error, needsRestart } of results) {
      const name = vm?.name ?? ref;
      if (error !== undefined) {
        const failure = new BangerError(error.code, error.message, {
          hint: error.hint ?? "",
          retry: error.retry,
        });
        context.stderr.write(errorText(failure, styleFor(context.stderr, context.env), name));
      } else if (vm !== undefined) {
        await print(
          context,
          `${name}: ${specText(vm.spec)}${vm.spec.nat ? "" : ", no network beyond the host"}\n`,
        );
        if (needsRestart) restart.push(name);
      }
    }
    if (restart.length > 0)
      say(context, `running with what it was; to have it now: banger vm restart ${restart.join(" ")}`);
    return results.every(({ error }) => error === undefined) ? 0 : 1;
  },
});
