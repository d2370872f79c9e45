/** The settings that a guest checkout gets: whose it is, how its files are read, and where it comes from. */

/** Settings that decide what git makes of the same files, so that both sides tell the same status and diff. */
const carried = new Set([
  "core.autocrlf",
  "core.eol",
  "core.filemode",
  "core.ignorecase",
  "core.safecrlf",
  "core.sparsecheckout",
  "core.sparsecheckoutcone",
  "core.symlinks",
  "core.whitespace",
  "diff.algorithm",
  "diff.renames",
  "extensions.objectformat",
  "status.renames",
  "status.showuntrackedfiles",
  "user.email",
  "user.name",
]);
const places = /^(remote\..*\.(url|fetch)|submodule\..*\.(url|active))$/;

/**
 * The text of `.git/config`. A file counts as unchanged by its size and time of change alone, for these are what a
 * copy can keep: else the guest would have to read every file once.
 */
export function guestSettings(host: ReadonlyMap<string, string>): string {
  const extended = host.has("extensions.objectformat");
  const own: [string, string][] = [
    ["core.repositoryformatversion", extended ? "1" : "0"],
    ["core.bare", "false"],
    ["core.checkstat", "minimal"],
    ["core.trustctime", "false"],
  ];
  const kept = [...host]
    .filter(([key]) => carried.has(key) || places.test(key))
    .map(([key, value]): [string, string] => [key, key.endsWith(".url") ? withoutSecret(value) : value]);
  return [...own, ...kept].map(([key, value]) => setting(key, value)).join("");
}

/** A URL without the name and password that may stand in it. */
const withoutSecret = (url: string): string => url.replace(/^(https?:\/\/)[^/@]*@/i, "$1");

function setting(key: string, value: string): string {
  const first = key.indexOf(".");
  const last = key.lastIndexOf(".");
  const section = key.slice(0, first);
  const head = first === last ? section : `${section} ${quoted(key.slice(first + 1, last))}`;
  return `[${head}]\n\t${key.slice(last + 1)} = ${quoted(value)}\n`;
}

const quoted = (text: string): string =>
  `"${text.replace(/["\\]/g, "\\$&").replaceAll("\n", "\\n").replaceAll("\t", "\\t")}"`;
