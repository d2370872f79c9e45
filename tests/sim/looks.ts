/** On what a simulated daemon asks for a VMM: a look of this moment must have shown that there is all it needs. */
import type { Observed, ObservedVm, Part, Seen, VmId } from "../../src/model/model.js";

/** The longest that a deed begins after the look on which it rests. */
const longestMs = 200;

const isPresent = (seen: Seen): boolean => seen.is === "present";
const isWhole = (part: Part): boolean => part.is === "present" && part.whole;

/** What a VMM does not find, each in words. */
export function lacking(seen: ObservedVm, mode: "user" | "system"): string[] {
  const found: Record<string, boolean> = {
    "its root disk": isPresent(seen.rootDisk),
    "its work disk": isPresent(seen.workDisk),
    "its seed": isPresent(seen.seed),
    "its sockets' directory": isWhole(seen.runtime),
    "its network": isWhole(seen.network),
    ...(mode === "system" && {
      "its root device": isWhole(seen.rootDevice),
      "the bridge": isPresent(seen.bridge),
    }),
  };
  return Object.entries(found).flatMap(([what, there]) => (there ? [] : [what]));
}

/** What one daemon has seen lately. What is lost after a look is no fault of the daemon's, so looks count, not the host. */
export class Looks {
  #last: { at: number; observed: Observed }[] = [];

  note(at: number, observed: Observed): void {
    this.#last = [...this.#last.filter((each) => at - each.at <= longestMs), { at, observed }];
  }

  /** What no look of this moment has shown together with all the rest; none where one has shown everything. */
  lackingFor(id: VmId, mode: "user" | "system", now: number): string[] {
    const looks = this.#last.filter(({ at }) => now - at <= longestMs);
    const lacks = looks.map(({ observed }) => lacking(observed.vms.get(id) ?? observed.unlistedVm, mode));
    return (
      lacks.reduce<string[] | undefined>(
        (least, each) => (least === undefined || each.length < least.length ? each : least),
        undefined,
      ) ?? ["any look"]
    );
  }
}
