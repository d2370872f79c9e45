/** `banger vm set`. */

import type { VmSetResult, VmView } from "../../contract/contract.js";
import { pause } from "../../lib/clock.js";
import { BangerError } from "../../lib/errors.js";
import { usageError } from "../base/check.js";
import { command, manyRefs } from "../base/command.js";
import { type Context, call, print, printJson, say } from "../base/context.js";
import { labelFlag, labelsOf } from "../base/filter.js";
import { errorText } from "../render/error.js";
import { styleFor } from "../render/style.js";
import { specText } from "../render/vm.js";
import { netChangeOf, netFlags } from "./net-flags.js";
import { newVmFlags, specOf, warnOfDisk } from "./new.js";

/** Looks at a disk that grows, and the time between them: a minute in all, then nobody waits any more. */
const mostLooks = 600;
const pauseMs = 100;

/** Waits until the disk of a VM that runs has its size; yields what is then seen of it. */
async function grownDisk(context: Context, { id, phase, diskSize }: VmView): Promise<VmView["diskSize"]> {
  let seen = { phase, diskSize };
  const growing = () => seen.phase === "running" && seen.diskSize === "growing";
  for (let looks = 0; growing() && looks < mostLooks; looks++) {
    await pause(pauseMs);
    seen = await call(context, "vmShow", { ref: id });
  }
  return seen.phase === "running" ? seen.diskSize : "fits";
}

/** Says of which VMs the file system has not followed the disk. */
async function tellGrowth(context: Context, results: VmSetResult["results"]): Promise<void> {
  const running = results.flatMap(({ vm, error }) => (vm?.phase === "running" && !error ? [vm] : []));
  const ends = await Promise.all(
    running.map(async (vm) => ({ name: vm.name, diskSize: await grownDisk(context, vm) })),
  );
  const names = (diskSize: string) =>
    ends.flatMap((each) => (each.diskSize === diskSize ? [each.name] : [])).join(" ");
  if (names("at_start") !== "")
    say(
      context,
      `the guest cannot grow its disk while running; restart it: banger vm restart ${names("at_start")}`,
    );
  if (names("growing") !== "") say(context, `not grown yet: banger vm why ${names("growing")}`);
}

/** Labels to take away, as the API has them. */
const taken = (keys: readonly string[]) => keys.map((key): [string, null] => [key, null]);

const resultJson = ({ ref, vm, error }: VmSetResult["results"][number]) => ({
  ref,
  ...(vm !== undefined && { id: vm.id, name: vm.name, spec: vm.spec, afterRestart: vm.afterRestart }),
  ok: error === undefined,
  ...(error !== undefined && { error }),
});

export const set = command({
  summary: "Change VMs; larger disks and network policies take effect at once, the rest at the next start",
  usage: "REF… [flags]",
  examples: [
    "banger vm set box --memory 4G",
    "banger vm set box --disk-size 20G",
    "banger vm set box --root-size 10G",
    "banger vm set box --net allow --allow '*.debian.org' --allow host:5432",
    "banger vm set box --label task=42 --unlabel draft",
  ],
  words: manyRefs,
  flags: {
    vcpu: newVmFlags.vcpu,
    memory: newVmFlags.memory,
    "disk-size": { ...newVmFlags["disk-size"], description: "Size of the work disk at /root; it only grows" },
    "root-size": {
      ...newVmFlags["root-size"],
      description: "Size of the root disk at /, in user mode; it only grows",
    },
    force: newVmFlags.force,
    ...netFlags,
    nat: { type: "string", valueHint: "on|off", description: "Same as --net public or --net none" },
    label: labelFlag,
    unlabel: { type: "string", valueHint: "K", description: "Label to remove; repeatable" },
  },
  async run(
    { net, nat, vcpu, memory, "disk-size": diskSize, "root-size": rootSize, force },
    { context, words, all },
  ) {
    if (nat !== undefined && nat !== "on" && nat !== "off")
      throw usageError(`--nat: "${nat}" is not on or off`, "--nat on");
    const spec = {
      ...specOf({ vcpu, memory, "disk-size": diskSize, "root-size": rootSize }),
      ...netChangeOf({ net, ...(nat !== undefined && { nat: nat === "on" }) }, all),
    };
    const changed = Object.keys(spec).length > 0;
    const labels = { ...labelsOf(all["label"] ?? []), ...Object.fromEntries(taken(all["unlabel"] ?? [])) };
    const labelled = Object.keys(labels).length > 0;
    if (!changed && !labelled) throw usageError("nothing to change", "banger vm set REF --memory 4G");
    const body = {
      refs: [...new Set(words)],
      ...(changed && { spec }),
      ...(labelled && { labels }),
      ...(force && { force }),
    };
    const { results } = await call(context, "vmSet", { body });
    if (context.json) {
      await printJson(context, results.map(resultJson));
      return results.every(({ error }) => error === undefined) ? 0 : 1;
    }
    const restart: string[] = [];
    for (const { ref, vm, error } of results) {
      const name = vm?.name ?? ref;
      if (error !== undefined) {
        const failure = BangerError.from(error);
        context.stderr.write(errorText(failure, styleFor(context.stderr, context.env), name));
      } else if (vm !== undefined) {
        await print(context, `${name}: ${specText(vm.spec)}\n`);
        if (vm.afterRestart.length > 0) restart.push(name);
      }
    }
    if (diskSize !== undefined || rootSize !== undefined) {
      await tellGrowth(context, results);
      await warnOfDisk(context, { diskMiB: spec.diskMiB ?? 0, rootMiB: spec.rootMiB ?? 0 });
    }
    if (restart.length > 0)
      say(context, `takes effect after a restart: banger vm restart ${restart.join(" ")}`);
    return results.every(({ error }) => error === undefined) ? 0 : 1;
  },
});
