/** Pure: what /proc/PID/mountinfo says, and which of it lies below a directory. */

export interface Mount {
  /** In bytes, each of which is one character here: not every name is UTF-8. */
  path: string;
  type: string;
}

/** The lines of /proc/PID/mountinfo, read as latin1; blanks and the like stand there as three octal digits. */
export function parseMounts(text: string): Mount[] {
  const mounts: Mount[] = [];
  for (const line of text.split("\n")) {
    const fields = line.split(" ");
    const path = fields[4];
    const type = fields[fields.indexOf("-", 6) + 1];
    if (path === undefined || type === undefined) continue;
    mounts.push({ path: path.replace(/\\([0-7]{3})/g, (_, digits) => octal(digits)), type });
  }
  return mounts;
}

const octal = (digits: string): string => String.fromCharCode(Number.parseInt(digits, 8));
const depth = ({ path }: Mount): number => path.split("/").length;

/**
 * Those at or below `path` in the order in which they are unmounted. What is mounted in a FUSE goes with it: a walk
 * through there would wait for whoever serves it.
 */
export function mountsBelow(path: string, mounts: readonly Mount[]): Mount[] {
  const here = mounts.filter((mount) => mount.path === path || mount.path.startsWith(`${path}/`));
  const fuses = here.filter(({ type }) => type.startsWith("fuse"));
  return here
    .filter((mount) => !fuses.some((fuse) => mount.path.startsWith(`${fuse.path}/`)))
    .sort((a, b) => depth(b) - depth(a));
}
