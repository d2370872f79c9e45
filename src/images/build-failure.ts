/** Pure: which error it is that a builder's tools ended with, and whether trying again could change anything. */
import { diskFull } from "../host/host-error.js";
import { BangerError } from "../lib/errors.js";

/** apt and what asks the network for it: the answer may be another one in a minute. */
const passing = new RegExp(
  [
    "Could not resolve|Temporary failure|(Could not|Unable to) connect|Connection (refused|reset|timed out|failed)",
    "timed out|Network is unreachable|No route to host|Error reading from server",
    // Between two states of a mirror its lists and its files do not fit.
    "Hash Sum mismatch|unexpected size|Mirror sync in progress",
    "^E: Failed to fetch .* (408|429|5\\d\\d) ",
  ].join("|"),
  "m",
);
/** What a server has said no to, as for a release or a package that it does not have. */
const refused = /^E: Failed to fetch .* 4\d\d |does not have a Release file|no longer has a Release file/m;

/** mmdebstrap says in such a line only which of its own steps it was that failed. */
const ofItself = /^E: ((setup|\S+ download|mmdebstrap) failed|(apt-get|env|sh|chroot|run_\w+) .*failed)/;
const linesBefore = 4;
const linesAfter = 3;
const longest = 600;

/** The first failure's own lines; what is said after them follows from it, and may say nothing. */
function firstFailure(lines: readonly string[]): string {
  const first = lines.findIndex((line) => /^(E: |mke2fs: )/.test(line));
  if (first < 0) return (lines.findLast((line) => /\S/.test(line)) ?? "nothing was said").slice(0, longest);
  const isWord = (line: string | undefined) =>
    line !== undefined && /\S/.test(line) && !/^[IWE]: /.test(line);
  let [from, to] = [first, first + 1];
  if (ofItself.test(lines[first] ?? "")) {
    // The tool that it ran has said why, just before.
    while (first - from < linesBefore && isWord(lines[from - 1])) from--;
  } else while (to - first <= linesAfter && /^\s+\S/.test(lines[to] ?? "")) to++;
  if (from < first) to = first;
  return lines
    .slice(from, to)
    .map((line) => line.trim())
    .join("; ")
    .slice(0, longest);
}

/** What apt says about its own successful retries is not a failure. */
function withoutIgnored(lines: readonly string[]): string[] {
  let ignored = false;
  return lines.filter((line) => {
    ignored = /^Ign:/.test(line) || (ignored && /^\s/.test(line));
    return !ignored;
  });
}

/** The named error behind what mmdebstrap, apt or what they ran said, oldest line first. */
export function buildFailure(said: readonly string[], output: string, cause: unknown): BangerError {
  const lines = withoutIgnored(said);
  const text = lines.join("\n");
  if (/failed to execute mmdebstrap/.test(text))
    return new BangerError("tool_missing", "mmdebstrap is not installed", {
      hint: "apt-get install -y mmdebstrap",
    });
  const why = firstFailure(lines);
  if (/No space left on device|Disk quota exceeded|Could not allocate block/.test(text))
    return diskFull(output, cause);
  if (/NO_PUBKEY|not signed|EXPKEYSIG|BADSIG/.test(text))
    return new BangerError("mirror_untrusted", `the package lists are not signed by a known key: ${why}`, {
      hint: "apt-get install -y debian-archive-keyring",
      cause,
    });
  if (passing.test(text))
    return new BangerError("mirror_unreachable", `packages cannot be fetched: ${why}`, {
      hint: "apt-get update; or set mirror in the configuration",
      retry: "later",
      cause,
    });
  if (refused.test(text))
    return new BangerError("mirror_refused", `the mirror does not have what is needed: ${why}`, {
      hint: "apt-get update; or set mirror in the configuration",
      cause,
    });
  if (/unshare|newuidmap|subuid|user namespace/i.test(text))
    return new BangerError("namespaces_unusable", `this host does not let banger create namespaces: ${why}`, {
      hint: "apt-get install -y uidmap; sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=15000",
      cause,
    });
  // The same packages and scripts fail in the same way again.
  return new BangerError("image_build_failed", `the packages were not put together: ${why}`, { cause });
}

/** A tool that failed by itself fails again with the same files; one that was killed need not. */
export function doomed(error: BangerError): BangerError {
  const killed = (error.cause as { signal?: string | null } | undefined)?.signal;
  return error.code === "tool_failed" && !killed
    ? BangerError.from(error.toBody(), { retry: "never", cause: error.cause })
    : error;
}
