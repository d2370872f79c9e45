/** Following the log until something is so, across a daemon that goes away and comes back. */
import { isLost } from "../../client/errors.js";
import type { VmView } from "../../contract/contract.js";
import type { EventsQuery, EventView } from "../../contract/events.js";
import { pause } from "../../lib/clock.js";
import { BangerError } from "../../lib/errors.js";
import { type Context, call } from "./context.js";

const mostLosses = 5;
/** A daemon that is ending is given this long to go, and longer each time. */
const againMs = 100;

/**
 * What `open` yields, which never ends by itself, opened again each time that the daemon went away; gives up when that
 * happens again and again without anything to yield.
 */
export async function* surviving<T>(open: () => AsyncIterable<T>): AsyncGenerator<T> {
  for (let lost = 0; lost < mostLosses; lost++) {
    try {
      for await (const item of open()) {
        lost = 0;
        yield item;
      }
    } catch (error) {
      if (!isLost(error)) throw error;
    }
    await pause(againMs * 2 ** lost);
  }
  throw new BangerError("daemon_lost", "the daemon keeps disappearing", { hint: "banger doctor" });
}

/** The events of the query and those to come, without end unless it has a limit. */
export async function* follow(context: Context, query: EventsQuery): AsyncGenerator<EventView> {
  const { signal } = context.interrupts;
  const { last: _seen, ...rest } = query;
  let [asked, left] = [query, query.limit ?? Number.POSITIVE_INFINITY];
  for await (const event of surviving(() => context.client.events({ ...asked, follow: true }, signal))) {
    left -= 1;
    asked = { ...rest, after: event.seq, ...(query.limit !== undefined && { limit: left }) };
    yield event;
    if (left <= 0) return;
  }
}

/** `booted`: it runs, and its init has come up. */
export type Goal = "running" | "booted" | "stopped" | "deleted";
export type Verdict = "wait" | "done" | BangerError;

/** Whether a VM is where it was asked to go (or may come by itself), on its way, or will not come; undefined: it is gone. */
export function verdict(vm: VmView | undefined, goal: Goal, asked = true): Verdict {
  if (vm === undefined || vm.phase === "deleted") {
    return goal === "deleted"
      ? "done"
      : new BangerError("vm_deleted", "it was deleted", { hint: "banger vm list" });
  }
  if (goal === "deleted") return "wait";
  if (vm.phase === "deleting") return new BangerError("vm_deleted", "it is being deleted");
  if (vm.phase === goal) return "done";
  if (goal === "booted" && vm.phase === "running") return vm.bootedAt === null ? "wait" : "done";
  if (vm.phase === "error" && vm.error !== null) {
    return BangerError.from(vm.error, { hint: vm.error.hint ?? `banger vm why ${vm.name}` });
  }
  if (goal === "stopped" && vm.phase !== "stopping") {
    if (!asked) return "wait";
    return new BangerError("vm_started_again", `it is ${vm.phase}: it was started again`, {
      hint: `banger vm why ${vm.name}`,
    });
  }
  if (goal !== "stopped" && vm.phase === "stopped") {
    const why = vm.lastExit?.detail ?? "it stopped";
    return new BangerError("vm_stopped", `it stopped before it was ready: ${why}`, {
      hint: `banger vm why ${vm.name}`,
    });
  }
  return "wait";
}

/** Events that say by themselves that a VM is where it was sent. */
const arrivals: Partial<Record<Goal, string>> = { running: "vm.ready", booted: "vm.booted" };

/** Events after which a VM's phase can be one that was waited for. */
const turningPoints = new Set(["vm.ready", "vm.booted", "vm.step_failed", "vm.process_exited", "vm.deleted"]);

export interface WaitFor {
  id: string;
  goal: Goal;
  /** False: nobody has sent it there, so that it may be anywhere until it comes. */
  asked?: boolean;
  /** Events up to this seq say nothing of what becomes of the command. */
  after: number;
}

/**
 * Follows VMs until each has got where it was sent, or will not. Where an event does not say so by itself, the VM is
 * looked at, so that it does not matter which events led there. `settled` is called once for each.
 */
export async function settle(
  context: Context,
  wanted: readonly WaitFor[],
  settled: (id: string, verdict: "done" | BangerError) => void,
  seen: (event: EventView) => void = () => undefined,
): Promise<void> {
  const open = new Map(wanted.map((each) => [each.id, each]));
  if (open.size === 0) return;
  const only = open.size === 1 ? { ref: `vm/${wanted[0]?.id}` } : { type: "vm.*" };
  const after = Math.min(...wanted.map((each) => each.after));
  for await (const event of follow(context, { ...only, after })) {
    const id = event.stream.slice("vm/".length);
    const one = open.get(id);
    if (one === undefined || event.seq <= one.after) continue;
    seen(event);
    if (!turningPoints.has(event.type)) continue;
    const arrived = event.type === arrivals[one.goal];
    const found = arrived ? "done" : verdict(await show(context, id), one.goal, one.asked);
    if (found === "wait") continue;
    open.delete(id);
    settled(id, found);
    if (open.size === 0) return;
  }
}

/** The VM, or undefined when there is none of that id any more. */
async function show(context: Context, id: string): Promise<VmView | undefined> {
  try {
    return await call(context, "vmShow", { ref: id });
  } catch (error) {
    if (error instanceof BangerError && error.code === "vm_not_found") return undefined;
    throw error;
  }
}
