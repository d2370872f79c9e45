/** Pure: what `firecracker --version` and `jailer --version` say, and whether banger can use that version. */

/** The first that has all that banger asks of its API. */
const oldest = { major: 1, minor: 10 };
export const oldestFirecracker = `${oldest.major}.${oldest.minor}`;

/** The version that the program's output names, as "1.16.1"; undefined where it names none. */
export const versionIn = (output: string): string | undefined =>
  /^(?:Firecracker|Jailer) v(\d+\.\d+\.\d+)/m.exec(output)?.[1];

/** Whether a version, as "1.16.1", is that one or a later one. */
export function isSince(version: string, first: { major: number; minor: number }): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > first.major || (major === first.major && minor >= first.minor);
}

export const isNewEnough = (version: string): boolean => isSince(version, oldest);
