/**
 * A process of its own for log-crash.test.ts: `hold` keeps a log open, `append` appends until it cannot, `read`
 * holds the lock of a reader for a while, as an opener does that comes second.
 */
import { writeSync } from "node:fs";
import Database from "better-sqlite3";
import { systemClock } from "../../src/lib/clock.js";
import { errorBody } from "../../src/lib/errors.js";
import { Log } from "../../src/log/log.js";
import { event } from "../../src/model/events.js";

const [mode, path] = process.argv.slice(2) as [string, string];
const tell = (line: string) => writeSync(1, `${line}\n`);

/** Tells each seq only after the log has acknowledged it. */
function appendForever(log: Log): never {
  const events = [event("daemon", "daemon.started", { version: "x".repeat(300) })];
  for (;;) tell(String(log.append(events, { cause: "request:test" })[0]?.seq));
}

function readForAWhile(): void {
  const db = new Database(path);
  db.pragma("locking_mode = EXCLUSIVE");
  db.pragma("schema_version");
  tell("reads");
  setTimeout(() => db.close(), 500);
}

function useLog(): void {
  const log = Log.open(path, systemClock);
  tell("open");
  if (mode === "append") appendForever(log);
  process.stdin.resume().on("end", () => log.close());
}

try {
  if (mode === "read") readForAWhile();
  else useLog();
} catch (thrown) {
  tell(errorBody(thrown).code);
}
