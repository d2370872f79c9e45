/** A process of its own for log-crash.test.ts: `hold` keeps a log open, `append` appends until it cannot. */
import { writeSync } from "node:fs";
import { systemClock } from "../../src/clock.js";
import { errorBody } from "../../src/errors.js";
import { event } from "../../src/events.js";
import { Log } from "../../src/log.js";

const [mode, path] = process.argv.slice(2) as [string, string];
const tell = (line: string) => writeSync(1, `${line}\n`);

/** Tells each seq only after the log has acknowledged it. */
function appendForever(log: Log): never {
  const events = [event("daemon", "daemon.started", { version: "x".repeat(300) })];
  for (;;) tell(String(log.append(events, { cause: "request:test" })[0]?.seq));
}

try {
  const log = Log.open(path, systemClock);
  tell("open");
  if (mode === "append") appendForever(log);
  process.stdin.resume().on("end", () => log.close());
} catch (thrown) {
  tell(errorBody(thrown).code);
}
