/** `--filter KEY=VALUE`: which VMs a command is about. Several of one key are any of them, several keys all of them. */
import type { VmView } from "../../contract/contract.js";
import { limits } from "../../contract/limits.js";
import { usageError } from "./check.js";

export const filterFlag = {
  type: "string",
  valueHint: "KEY=VALUE",
  description:
    "Only matching VMs: label=K or label=K=V, state=, name= or image=; * matches any text; repeatable",
} as const;

export const labelFlag = {
  type: "string",
  valueHint: "K=V",
  description: "Label for finding the VM (vm list --filter label=K=V); repeatable",
} as const;

type Test = (vm: VmView) => boolean;

/** Whether a text is what the pattern says, `*` standing for any text. */
function matches(pattern: string): (text: string) => boolean {
  const source = pattern.split("*").map((part) => part.replace(/[\\^$.|?+()[\]{}]/g, String.raw`\$&`));
  const whole = new RegExp(`^${source.join(".*")}$`, "s");
  return (text) => whole.test(text);
}

const tests: Readonly<Record<string, (value: string) => Test>> = {
  label(value) {
    const at = value.indexOf("=");
    if (at === -1) return ({ labels }) => Object.hasOwn(labels, value);
    const [key, wanted] = [value.slice(0, at), matches(value.slice(at + 1))];
    return ({ labels }) => Object.hasOwn(labels, key) && wanted(labels[key] ?? "");
  },
  state(value) {
    const wanted = matches(value);
    return ({ phase, paused }) => wanted(phase) || (paused !== null && wanted("paused"));
  },
  name(value) {
    const wanted = matches(value);
    return ({ name }) => wanted(name);
  },
  image(value) {
    const wanted = matches(value);
    return ({ image }) => wanted(image);
  },
};

/** The test that the given filters make together; without any, every VM passes. @throws BangerError `usage` */
export function filterOf(filters: readonly string[] = []): Test {
  const byKey = new Map<string, Test[]>();
  for (const filter of filters) {
    const at = filter.indexOf("=");
    const key = filter.slice(0, Math.max(at, 0));
    const make = Object.hasOwn(tests, key) ? tests[key] : undefined;
    if (make === undefined || at === filter.length - 1)
      throw usageError(
        `--filter: "${filter}" is not label=, state=, name= or image= with a value`,
        "--filter state=running",
      );
    byKey.set(key, [...(byKey.get(key) ?? []), make(filter.slice(at + 1))]);
  }
  return (vm) => [...byKey.values()].every((any) => any.some((test) => test(vm)));
}

/** `K=V` and `K` words as labels. @throws BangerError `usage` */
export function labelsOf(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const [key, value] = pair.includes("=")
        ? [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]
        : [pair, ""];
      if (!(new RegExp(limits.labelKey).test(key) && new RegExp(limits.labelValue).test(value)))
        throw usageError(
          `--label: "${pair}" is not KEY=VALUE, or KEY contains characters other than letters, digits and _./-`,
          "--label task=42",
        );
      return [key, value];
    }),
  );
}
