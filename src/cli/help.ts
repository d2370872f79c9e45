/** `--help` at every level: usage, flags or commands, and examples. */
import type { ArgDef } from "citty";
import { dashed, optionalValue } from "./base/check.js";
import type { Command } from "./base/command.js";
import type { Style } from "./render/style.js";
import { type Group, isGroup, shown } from "./tree.js";

const indent = "  ";

function columns(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(0, ...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `${indent}${left.padEnd(width)}  ${right}\n`).join("");
}

export function groupHelp(group: Group, path: string, style: Style): string {
  const name = ["banger", path].filter((part) => part !== "").join(" ");
  const rows = shown(group).map(([word, node]): [string, string] => {
    const label = node.alias === undefined ? word : `${word}, ${node.alias}`;
    return [isGroup(node) ? `${label} …` : label, node.summary];
  });
  return [
    `${group.summary}.\n\n`,
    `${style.bold("Usage:")} ${name} COMMAND\n\n`,
    `${style.bold("Commands:")}\n${columns(rows)}\n`,
    `${name} COMMAND --help shows more about each command.\n`,
    path === "" ? rootExamples(style) : "",
  ].join("");
}

const rootExamples = (style: Style): string =>
  `\n${style.bold("Examples:")}\n${columns([
    ["banger vm run", "a shell in a new VM"],
    ["banger vm run --rm -- uname -a", "run one command in a VM, then delete the VM"],
    ["banger vm list", "your VMs"],
    ["banger doctor", "check this machine, with fixes"],
  ])}`;

function flagRow([name, flag]: [string, ArgDef]): [string, string] {
  const aliases = "alias" in flag && flag.alias !== undefined ? [flag.alias].flat() : [];
  const short = aliases.filter((alias) => alias.length === 1).map((alias) => `-${alias}, `);
  const negated = flag.type === "boolean" && flag.default === true;
  const value = flag.type === "boolean" ? optionalValue(flag) : ` ${flag.valueHint ?? "VALUE"}`;
  const positive = "valueHint" in flag && flag.valueHint === "both" ? `--[no-]${name}` : `--no-${name}`;
  return [`${short.join("")}${negated ? positive : `${dashed(name)}${value}`}`, flag.description ?? ""];
}

/** `more` is text that only the running program can give, such as defaults of this host. */
export function commandHelp(command: Command, path: string, style: Style, more = ""): string {
  const flags = [...Object.entries(command.flags).map(flagRow), ["-h, --help", "Print this"] as const];
  return [
    `${command.summary}.\n\n`,
    `${style.bold("Usage:")} banger ${path} ${command.usage}`.trimEnd(),
    `\n\n${style.bold("Flags:")}\n${columns(flags as [string, string][])}`,
    more === "" ? "" : `\n${more}`,
    `\n${style.bold("Examples:")}\n${command.examples.map((each) => `${indent}${each}\n`).join("")}`,
  ].join("");
}
