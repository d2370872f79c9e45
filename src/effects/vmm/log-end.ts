/** The last words of a log. */
import { readFileSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { holdsWithin } from "../../host/wait.js";
import type { Clock } from "../../lib/clock.js";

/** How much of a log's end tells how things ended, in bytes. */
const tellingBytes = 4096;

/** The last bytes of a file, and "" where it cannot be read. */
export async function endOf(path: string): Promise<string> {
  try {
    const file = await open(path);
    try {
      const { size } = await file.stat();
      const start = Math.max(0, size - tellingBytes);
      const { buffer, bytesRead } = await file.read(Buffer.alloc(tellingBytes), 0, tellingBytes, start);
      return buffer.toString("utf8", 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch {
    return "";
  }
}

/** A keeper needs no longer for what a pipe holds, unless its disk hangs. */
const keepingMs = 2_000;

/** Whether the launcher's keeper of this log is still at it: it locks the log, and ends when its program has. */
function isKept(path: string): boolean {
  try {
    const { ino } = statSync(path);
    const locks = readFileSync("/proc/locks", "latin1").split("\n");
    return locks.some((line) => line.includes(" FLOCK ") && line.includes(`:${ino} `));
  } catch {
    return false;
  }
}

/** Resolves when what an ended VMM had printed is in its log. */
export const written = (path: string, clock: Clock): Promise<boolean> =>
  holdsWithin(clock, keepingMs, () => !isKept(path));
