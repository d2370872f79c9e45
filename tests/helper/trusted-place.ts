/** A directory below which nobody but root can write, as the helper wants of everything that it trusts. */
import { mkdtempSync, rmSync } from "node:fs";

/** Why a test that needs one is left out; false where it can run. */
export const needsRoot = process.getuid?.() !== 0 && "needs root";

/** Below /run, for /tmp can be written by everybody; gone with the test. */
export function trustedPlace(t: { after: (done: () => void) => void }): string {
  const path = mkdtempSync("/run/banger-test-");
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}
