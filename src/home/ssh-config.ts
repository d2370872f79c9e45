/** Pure: the OpenSSH configuration for `*.vm`, and the marked lines that include it in the user's own. */
import { BangerError } from "../lib/errors.js";
import { shellQuote } from "../lib/shell.js";

export interface SshConfigParts {
  /** Private key that opens every VM. */
  keyPath: string;
  knownHostsPath: string;
  /** The banger that carries the connection. */
  program: string;
}

/** ssh_config(5) has lines, and expands `${NAME}` in paths without a way to write it otherwise. */
function writable(path: string): string {
  if (!/[\n\r\0]|\$\{/.test(path)) return path;
  const message = `OpenSSH's configuration cannot hold the path ${JSON.stringify(path)}`;
  throw new BangerError("ssh_config_unwritable", message, {
    hint: "banger vm ssh NAME needs no configuration",
  });
}

const quoted = (text: string): string => `"${text.replace(/["\\]/g, "\\$&")}"`;
const doubled = (text: string): string => text.replaceAll("%", "%%");

/** A path as an argument of an option in which `%` begins a token. */
export const sshPath = (path: string): string => quoted(doubled(writable(path)));

/**
 * The line that includes a file, whose name is a pattern. Whether `%` begins a token there differs between versions
 * of OpenSSH: `tokens` says so.
 */
export const includeLine = (path: string, tokens = false): string => {
  const pattern = writable(path).replace(/[*?[\\]/g, "\\$&");
  return `Include ${quoted(tokens ? doubled(pattern) : pattern)}`;
};

/** Connections go through banger: it knows where each VM's sshd is, with or without DNS, whatever the port. */
export const bangerSshConfig = ({ keyPath, knownHostsPath, program }: SshConfigParts): string =>
  [
    "# Written by: banger ssh-config",
    "Host *.vm",
    "  User root",
    `  IdentityFile ${sshPath(keyPath)}`,
    "  IdentitiesOnly yes",
    `  UserKnownHostsFile ${sshPath(knownHostsPath)}`,
    "  GlobalKnownHostsFile /dev/null",
    "  StrictHostKeyChecking yes",
    "  UpdateHostKeys no",
    `  ProxyCommand ${doubled(shellQuote(writable(program)))} ssh-proxy %h`,
    "",
  ].join("\n");

const begins = "# >>> banger >>>";
/** The file was made for these lines, so it goes with them. */
const beginsNew = "# >>> banger, and this file >>>";
const ends = "# <<< banger <<<";

/** The marked lines as they stand in a file; bytes are kept as Latin-1, so that no encoding changes any. */
function blockIn(text: string, path: string): { start: number; end: number; whole: boolean } | undefined {
  const start = [begins, beginsNew].map((marker) => lineAt(text, marker)).find((at) => at !== -1);
  if (start === undefined) return undefined;
  const last = lineAt(text, ends, start);
  if (last === -1) {
    throw new BangerError("ssh_config_damaged", `${path} has the line "${begins}" and not "${ends}"`, {
      hint: `remove banger's lines there by hand: edit ${path}`,
    });
  }
  return { start, end: last + ends.length + 1, whole: text.startsWith(beginsNew, start) };
}

/** Where the marker stands on a line of its own; -1 when it does not. */
function lineAt(text: string, marker: string, from = 0): number {
  for (let at = text.indexOf(marker, from); at !== -1; at = text.indexOf(marker, at + 1)) {
    const after = text[at + marker.length];
    if ((at === 0 || text[at - 1] === "\n") && (after === "\n" || after === undefined)) return at;
  }
  return -1;
}

/**
 * The user's file with the marked lines first: an Include further down would belong to the Host above it.
 * `include` is the line that includes banger's; `text` is null
 * where there is no file. @throws BangerError `ssh_config_damaged`
 */
export function withInclude(text: string | null, include: string, path: string): string {
  const found = text === null ? undefined : blockIn(text, path);
  const own = found === undefined ? text === null : found.whole;
  const block = [own ? beginsNew : begins, include, ends, ""].join("\n");
  if (text === null) return block;
  if (found === undefined) return block + text;
  return text.slice(0, found.start) + block + text.slice(found.end);
}

/**
 * The user's file as it would be without banger; null: there would be none.
 * @throws BangerError `ssh_config_damaged`
 */
export function withoutInclude(text: string, path: string): string | null {
  const found = blockIn(text, path);
  if (found === undefined) return text;
  const rest = text.slice(0, found.start) + text.slice(found.end);
  return found.whole && rest === "" ? null : rest;
}

/** Whether the user's file has banger's lines. */
export const isIncluded = (text: string): boolean =>
  lineAt(text, begins) !== -1 || lineAt(text, beginsNew) !== -1;
