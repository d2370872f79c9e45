/** Ends a QEMU: asked first, then by signals, each way harsher than the one before. */
import { isAlive } from "../../../host/processes.js";
import { holdsWithin } from "../../../host/wait.js";
import type { Clock } from "../../../lib/clock.js";
import type { ProcessIdentity } from "../../../model/model.js";
import { processStuck } from "../control.js";

/** How long each way may take before the next. */
const quitMs = 2_000;
const terminateMs = 2_000;
const killedMs = 10_000;

/** `quit` tells the QEMU to go, within so many milliseconds. @throws BangerError `process_stuck` */
export async function endQemu(
  identity: ProcessIdentity,
  quit: (deadlineMs: number) => Promise<void>,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const gone = (ms: number) => holdsWithin(clock, ms, () => !isAlive(identity), signal);
  const kill = (name: "SIGTERM" | "SIGKILL") => {
    if (!isAlive(identity)) return;
    try {
      process.kill(identity.pid, name);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  };
  quit(quitMs).catch(() => {});
  if (await gone(quitMs)) return;
  kill("SIGTERM");
  if (await gone(terminateMs)) return;
  kill("SIGKILL");
  if (await gone(killedMs)) return;
  throw processStuck(identity);
}
