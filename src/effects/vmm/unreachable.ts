/** VMMs whose directory was deleted: no daemon finds them any more, and their disks are nobody's. */
import { readlinkSync } from "node:fs";
import { isAlive } from "../../host/processes.js";
import type { ProcessIdentity } from "../../model/model.js";

const deleted = / \(deleted\)$/;

/** Ends those of these processes that sit in a deleted directory; returns how many did. */
export function endUnreachable(processes: Iterable<ProcessIdentity>): number {
  let ended = 0;
  for (const identity of processes) {
    try {
      if (!deleted.test(readlinkSync(`/proc/${identity.pid}/cwd`)) || !isAlive(identity)) continue;
      process.kill(identity.pid, "SIGKILL");
      ended += 1;
    } catch {
      // It has ended by itself, or is not this user's.
    }
  }
  return ended;
}
