/** The builder's process as others see it: its job, its reports, the record that it leaves, and its end. */
import { readFileSync } from "node:fs";
import { hostError } from "../../host/host-error.js";
import { bootId, identify } from "../../host/processes.js";
import { removeTree, unmountBelow } from "../../host/remove-tree.js";
import { holdsWithin } from "../../host/wait.js";
import type { Clock } from "../../lib/clock.js";
import { BangerError } from "../../lib/errors.js";
import type { ProcessIdentity } from "../../model/model.js";
import { type Builder, builderFile, isScratch } from "../make/job.js";
import type { SeenPartial } from "../store.js";

function readBuilder(partial: string): Builder | undefined {
  try {
    const text = readFileSync(`${partial}/${builderFile}`, "utf8");
    const { pid, startTime, bootId, state, scratch } = JSON.parse(text) as Builder;
    if (!Number.isInteger(pid) || pid < 2 || typeof startTime !== "string") return undefined;
    const ours = typeof scratch === "string" && isScratch(scratch);
    return {
      ...{ pid, startTime, bootId },
      ...(typeof state === "string" && { state }),
      ...(ours && { scratch }),
    };
  } catch {
    return undefined;
  }
}

/** True while the process group has a member, zombies included. */
function groupLives(group: number): boolean {
  try {
    process.kill(-group, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/**
 * Whether the builder or something that it started is there. Without the builder itself its group still counts:
 * within one boot no other process gets a number that a group has.
 */
function isAtWork(builder: Builder): boolean {
  if (builder.bootId !== bootId()) return false;
  const seen = identify(builder.pid);
  if (seen.is === "present") return seen.startTime === builder.startTime;
  return groupLives(builder.pid);
}

/** Who is at work in a half-built image; `elsewhere`: for another home than the one with this state directory. */
export function observePartial(partial: string, state: string): SeenPartial {
  const builder = readBuilder(partial);
  const building = builder !== undefined && isAtWork(builder);
  return { building, elsewhere: building && (builder.state ?? state) !== state };
}

const terminateMs = 10_000;
const killedMs = 5_000;

function signalGroup(group: number, name: "SIGTERM" | "SIGCONT" | "SIGKILL"): void {
  try {
    process.kill(-group, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Ends the builder and all that it started: asked first, so that mmdebstrap can take its tree away. */
async function endGroup(leader: ProcessIdentity, clock: Clock): Promise<void> {
  const gone = (ms: number) => holdsWithin(clock, ms, () => !groupLives(leader.pid));
  signalGroup(leader.pid, "SIGTERM");
  // One that somebody has stopped would hear of it too late.
  signalGroup(leader.pid, "SIGCONT");
  if (await gone(terminateMs)) return;
  signalGroup(leader.pid, "SIGKILL");
  if (await gone(killedMs)) return;
  throw new BangerError("process_stuck", `the image builder (process group ${leader.pid}) does not exit`, {
    hint: `ps -o pid,stat,wchan,args -g ${leader.pid}`,
    retry: "later",
  });
}

/**
 * Nobody builds in `partial` any more, and it is gone with all that belongs to it. `removeScratch` removes a tree
 * whose files belong to users of a namespace, as far as it can. What another home builds there is left to it.
 */
export async function ensureNoPartial(
  partial: string,
  state: string,
  removeScratch: (path: string) => Promise<void>,
  clock: Clock,
): Promise<void> {
  if (observePartial(partial, state).elsewhere) return;
  const builder = readBuilder(partial);
  if (builder !== undefined && isAtWork(builder)) await endGroup(builder, clock);
  try {
    if (builder?.scratch !== undefined) await removeScratch(builder.scratch);
    // An earlier version of banger left what it had mounted for the build when it was killed.
    await unmountBelow(partial);
    await removeTree(partial);
  } catch (error) {
    throw hostError(error, partial);
  }
}
