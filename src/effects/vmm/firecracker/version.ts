/** Pure: which version a Firecracker says that it is, and whether banger can use it. */

/** The first that has all that banger asks of its API. */
const oldest = { major: 1, minor: 10 };

/** `Firecracker v1.16.1` and `1.16.1` are the same version. */
const versionIn = (text: string): string | undefined => /\bv?(\d{1,5}\.\d{1,5}\.\d{1,5})\b/.exec(text)?.[1];

/** Whether a version, as "1.16.1", is that one or a later one. */
export function isSince(version: string, first: { major: number; minor: number }): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > first.major || (major === first.major && minor >= first.minor);
}

/** Whether a Firecracker can be used, by what `firecracker --version` says; else why not. */
export function firecrackerVersion(output: string): { version: string } | { problem: string } {
  const version = versionIn(output.split("\n", 1)[0] ?? "");
  if (version === undefined) return { problem: "it does not tell its version" };
  const wanted = `${oldest.major}.${oldest.minor}`;
  return isSince(version, oldest) ? { version } : { problem: `${version} is older than ${wanted}` };
}
