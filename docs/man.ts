/** The text of docs/banger.1: the manual page, from the tree of commands (mdoc(7)). */
import type { ArgDef } from "citty";
import { optionalValue } from "../src/cli/base/check.js";
import type { Command } from "../src/cli/base/command.js";
import { isGroup, type Leaf, type Node, root, shown } from "../src/cli/tree.js";

interface Entry {
  /** The words that lead to the command, without "banger". */
  path: string;
  alias: string | undefined;
  command: Command;
}

/** Every command that is for people, in the order of help. */
async function entries(node: Node, path: readonly string[]): Promise<Entry[]> {
  const entry = async (leaf: Leaf): Promise<Entry> => ({
    path: path.join(" "),
    alias: leaf.alias,
    command: await leaf.load(),
  });
  if (!isGroup(node)) return [await entry(node)];
  const own = node.itself === undefined ? [] : [await entry(node.itself)];
  const below = await Promise.all(shown(node).map(([word, child]) => entries(child, [...path, word])));
  return [...own, ...below.flat()];
}

/** What roff would turn into something else, and how it prints it as it is. */
const spelled: Readonly<Record<string, string>> = {
  "\\": "\\e",
  "-": "\\-",
  "'": "\\(aq",
  "`": "\\(ga",
  "^": "\\(ha",
  "~": "\\(ti",
  "…": "...",
};

const spell = (character: string): string =>
  spelled[character] ?? `\\[u${character.codePointAt(0)?.toString(16).toUpperCase().padStart(4, "0")}]`;

/** Text as roff prints it: what would be an escape or a request is none. */
const text = (words: string): string =>
  words.replace(/[\\'`^~-]|[^\u0000-\u007f]/gu, spell).replace(/^\./gm, "\\&.");

/** The argument of a macro: what follows cannot be taken for another macro. */
const argument = (words: string): string => `"${text(words).replaceAll('"', '""')}"`;

function flagLines([name, flag]: [string, ArgDef]): string[] {
  const aliases = "alias" in flag && flag.alias !== undefined ? [flag.alias].flat() : [];
  const negated = flag.type === "boolean" && flag.default === true;
  const both = "valueHint" in flag && flag.valueHint === "both";
  if (name.length === 1) return [`.It Sy ${argument(`-${name}`)}`, text(`${flag.description ?? ""}.`)];
  const long = `--${negated ? (both ? "[no-]" : "no-") : ""}${name}`;
  const names = [...aliases.filter((alias) => alias.length === 1).map((alias) => `-${alias}`), long];
  const value =
    flag.type === "boolean" ? optionalValue(flag) : ` ${("valueHint" in flag && flag.valueHint) || "VALUE"}`;
  return [`.It Sy ${argument(`${names.join(", ")}${value}`)}`, text(`${flag.description ?? ""}.`)];
}

function commandLines({ path, alias, command }: Entry): string[] {
  const flags = Object.entries(command.flags);
  const last = path.split(" ").at(-1) ?? "";
  return [
    `.Ss ${argument(`banger ${path} ${command.usage}`.trimEnd())}`,
    text(`${command.summary}.`),
    ...(alias === undefined ? [] : [text(`In place of ${last}, ${alias} can be written.`)]),
    ...(flags.length === 0 ? [] : [".Bl -tag -width Ds -compact", ...flags.flatMap(flagLines), ".El"]),
    ".Bd -literal -offset indent",
    ...command.examples.map(text),
    ".Ed",
  ];
}

const files: readonly (readonly [string, string])[] = [
  ["$XDG_CONFIG_HOME/banger/config.toml", "The configuration; ~/.config where the variable is not set"],
  ["$XDG_STATE_HOME/banger", "The event log, the daemon's log and the VMs' disks; ~/.local/state"],
  ["$XDG_DATA_HOME/banger", "Images and kernels; ~/.local/share"],
  ["$XDG_CACHE_HOME/banger", "Downloads from registries; ~/.cache. It can be deleted at any time"],
];

const statuses: readonly (readonly [string, string])[] = [
  ["0", "All went well"],
  ["1", "Something failed: standard error has a line that says what, and one that says how to fix it"],
  ["2", "The command was not understood"],
  ["126, 127", "The guest cannot run the command, or does not have it"],
  ["128 + n", "Signal n ended banger, or the command in the guest"],
];

const list = (width: string, macro: string, rows: readonly (readonly [string, string])[]): string[] => [
  `.Bl -tag -width ${width}`,
  ...rows.flatMap(([left, right]) => [`.It ${macro} ${argument(left)}`, text(`${right}.`)]),
  ".El",
];

/** The page. It has no date, so that it changes only when a command does. */
export async function manText(version: string): Promise<string> {
  const lines = [
    '.\\" Made by "npm run docs" from the commands themselves.',
    `.Dd $Mdocdate$`,
    ".Dt BANGER 1",
    `.Os ${argument(`banger ${version}`)}`,
    ".Sh NAME",
    ".Nm banger",
    `.Nd ${text("disposable Linux microVMs on your own machine")}`,
    ".Sh SYNOPSIS",
    ".Nm",
    ".Ar COMMAND",
    ".Op Ar argument ...",
    ".Sh DESCRIPTION",
    ...text(
      "banger boots Linux VMs that have their own kernel, disks and address, without root and with or without\n" +
        "hardware virtualization. A daemon starts with the first command and looks after them.\n" +
        "A VM is given by its name, its id or the beginning of its id. Sizes are like 512M or 4G; a bare number is MiB.\n" +
        "Every command has --help.",
    ).split("\n"),
    ".Sh COMMANDS",
    ...(await entries(root, [])).flatMap(commandLines),
    ".Sh FILES",
    ...list("Ds", "Pa", files),
    ".Sh EXIT STATUS",
    ...list("126,", "Sy", statuses),
    ".Sh SEE ALSO",
    ".Xr ssh 1 ,",
    ".Xr git 1 ,",
    `.Xr ${text("qemu-system-x86_64")} 1`,
  ];
  return `${lines.join("\n")}\n`;
}
