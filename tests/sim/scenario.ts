/** What happens in a run, as plain data: made from a seed, shrunk by leaving actions out. */
import type { SpecChanges, VmVerb } from "../../src/core/decide.js";
import { type Random, seeded } from "./random.js";

export type Action = { afterMs: number } & (
  | { kind: "create"; name: number; start: boolean; ttlMs?: number }
  | { kind: VmVerb; name: number }
  | { kind: "set"; name: number; changes: SpecChanges }
  | { kind: "pull"; image: number }
  /** -1 is the kernel. */
  | { kind: "deleteImage"; image: number }
  | { kind: "damageImage"; image: number }
  /** Another home, which shares the images, has one made or deletes one that no VM here is made from. */
  | { kind: "buildElsewhere"; image: number }
  | { kind: "deleteElsewhere"; image: number }
  | { kind: "killDaemon" }
  /** The daemon dies at the nth boundary from now: before or after an append or a change of the host. */
  | { kind: "killDaemonAt"; boundary: number }
  | { kind: "startDaemon" }
  /** As killDaemonAt, of a change that the root helper makes; it is back after that time. */
  | { kind: "killHelperAt"; boundary: number; backMs: number }
  | { kind: "killHelper"; backMs: number }
  /** The host starts again; nothing that ran, and nothing that only its kernel knew, is left. */
  | { kind: "reboot" }
  | { kind: "flushFirewall" }
  /** Somebody deletes the bridge, or the resolver forgets what it was told. */
  | { kind: "deleteBridge" }
  | { kind: "forgetNames" }
  | { kind: "killVmm"; name: number }
  | { kind: "killNetwork"; name: number }
  | { kind: "powerOff"; name: number }
  | { kind: "rebootGuest"; name: number }
  | { kind: "panicGuest"; name: number }
  | { kind: "listen"; name: number; port: number }
  /** From now on no port can be forwarded, each time for another reason. */
  | { kind: "refuseForwards" }
  /** From now on no bridge can be made, until that can be mended or not. */
  | { kind: "refuseBridge"; retry: "never" | "later" }
  | { kind: "fillDisk" }
  | { kind: "freeDisk" }
  /** Somebody stops the guest through its VMM, or lets it go on. */
  | { kind: "pauseGuest"; name: number }
  | { kind: "resumeGuest"; name: number }
);

export interface Scenario {
  seed: number;
  mode: "user" | "system";
  faults: boolean;
  actions: Action[];
}

const names = 6;
const images = 2;
const verbs: readonly VmVerb[] = ["start", "stop", "restart", "kill", "delete"];

export function scenario(seed: number): Scenario {
  const chance = seeded(seed);
  const length = chance.between(5, 40);
  const mode = seed % 2 === 0 ? "user" : "system";
  return {
    seed,
    mode,
    faults: chance.chance(0.8),
    actions: Array.from({ length }, () => ({ afterMs: delay(chance), ...what(chance, mode) }) as Action),
  };
}

/** Often at once, sometimes after a boot's time. */
const delay = (chance: Random): number =>
  chance.chance(0.5) ? chance.between(0, 200) : chance.between(200, chance.chance(0.3) ? 90_000 : 8000);

function what(chance: Random, mode: Scenario["mode"]): object {
  const name = chance.between(0, names - 1);
  const dice = chance.between(0, 99);
  if (dice < 25) {
    const ttlMs = chance.chance(0.1) ? { ttlMs: chance.pick([0, 5_000, 60_000, 10_000_000]) } : {};
    return { kind: "create", name, start: chance.chance(0.85), ...ttlMs };
  }
  if (dice < 53) return { kind: chance.pick(verbs), name };
  if (dice < 55) return { kind: chance.pick(["fillDisk", "freeDisk"] as const) };
  if (dice < 57) return { kind: chance.chance(0.8) ? "pauseGuest" : "resumeGuest", name };
  if (dice < 59) {
    const field = mode === "user" ? chance.pick(["diskMiB", "rootMiB"] as const) : "diskMiB";
    return { kind: "set", name, changes: { [field]: chance.pick([512, 2048, 4096]) } };
  }
  if (dice < 60) return { kind: "set", name, changes: { memoryMiB: chance.pick([256, 512]) } };
  if (dice < 62)
    return {
      kind: "set",
      name,
      changes: { net: { mode: chance.pick(["public", "none", "allow"] as const) } },
    };
  if (dice < 64) return { kind: "pull", image: chance.between(0, images - 1) };
  if (dice < 65) return { kind: "deleteImage", image: chance.between(-1, images - 1) };
  if (dice < 66) {
    const kind = chance.pick(["damageImage", "buildElsewhere", "deleteElsewhere"] as const);
    return { kind, image: kind === "buildElsewhere" ? chance.between(-1, images - 1) : images - 1 };
  }
  if (dice < 67) return { kind: "reboot" };
  if (dice < 68) return { kind: chance.pick(["flushFirewall", "deleteBridge", "forgetNames"] as const) };
  if (dice < 70) return { kind: "killHelper", backMs: chance.pick([0, 500, 60_000]) };
  if (dice < 74) return { kind: "killDaemon" };
  if (dice < 78)
    return { kind: "killHelperAt", boundary: chance.between(1, 12), backMs: chance.pick([0, 500, 60_000]) };
  if (dice < 83) return { kind: "killDaemonAt", boundary: chance.between(1, 30) };
  if (dice < 86) return { kind: "startDaemon" };
  if (dice < 91) return { kind: "killVmm", name };
  if (dice < 92) return { kind: "killNetwork", name };
  if (dice < 95) return { kind: chance.pick(["powerOff", "rebootGuest", "panicGuest"] as const), name };
  return { kind: "listen", name, port: chance.pick([80, 3000, 8080]) };
}

/** The smallest part of a failing scenario that still fails. Each try is a whole run. */
export async function shrink(
  failing: Scenario,
  fails: (candidate: Scenario) => Promise<boolean>,
): Promise<Scenario> {
  let smallest = failing;
  const quiet = { ...smallest, faults: false };
  if (smallest.faults && (await fails(quiet))) smallest = quiet;
  for (let size = Math.ceil(smallest.actions.length / 2); size >= 1; ) {
    let shrunk = false;
    for (let start = 0; start < smallest.actions.length; start += size) {
      const actions = smallest.actions.toSpliced(start, size);
      const candidate = { ...smallest, actions };
      if (!(await fails(candidate))) continue;
      smallest = candidate;
      shrunk = true;
      break;
    }
    if (!shrunk) size = size === 1 ? 0 : Math.ceil(size / 2);
  }
  return smallest;
}
