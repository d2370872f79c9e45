/** The settings that a guest checkout gets: whose it is, how its files are read, and where it comes from. */

/** Settings that decide what git makes of the same files, so that both sides tell the same status and diff. */
const carried = new Set([
  "core.attributesfile",
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
  const sections = new Map<string, string>();
  for (const [key, value] of [...own, ...kept]) {
    const last = key.lastIndexOf(".");
    const head = sectionHead(key.slice(0, last));
    sections.set(head, `${sections.get(head) ?? ""}\t${key.slice(last + 1)} = ${quoted(value)}\n`);
  }
  return [...sections].map(([head, lines]) => `[${head}]\n${lines}`).join("");
}

/** A URL without the name and password that may stand in it. */
const withoutSecret = (url: string): string => url.replace(/^(https?:\/\/)[^/@]*@/i, "$1");

/** "remote.a.b" is the section `remote` with the name `a.b`. */
function sectionHead(path: string): string {
  const dot = path.indexOf(".");
  return dot === -1 ? path : `${path.slice(0, dot)} ${quoted(path.slice(dot + 1))}`;
}

const quoted = (text: string): string =>
  `"${text.replace(/["\\]/g, "\\$&").replaceAll("\n", "\\n").replaceAll("\t", "\\t")}"`;
