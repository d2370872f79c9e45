/** Stops running VMs that nobody has used for long, by the same command as everybody else. */

import type { Activity } from "../api/activity.js";
import type { Config } from "../config/form.js";
import { decide, type Timeouts } from "../core/decide.js";
import type { Clock, Timer } from "../lib/clock.js";
import { errorBody } from "../lib/errors.js";
import type { Ledger } from "../log/ledger.js";
import { autoStopCause } from "../model/events.js";
import type { Vm } from "../model/model.js";

export interface AutoStopOptions {
  ledger: Ledger;
  uses: Activity;
  clock: Clock;
  timeouts: Timeouts;
  config: Pick<Config, "autoStopAfterMs">;
  /** Addresses of this host to which something is connected, or was a moment ago. */
  connectedAddresses(): ReadonlySet<string>;
  warn(message: string, details: object): void;
}

/** Shorter than the minute for which the kernel remembers a connection that has ended, so that none is missed. */
const lookEveryMs = 30_000;

/** Looks from now on; the result ends that. What was before counts as used now: nobody has seen whether it was. */
export function autoStop(options: AutoStopOptions): () => void {
  const { clock } = options;
  const { autoStopAfterMs: staleAfterMs } = options.config;
  if (staleAfterMs === null) return () => undefined;
  const since = clock.now();
  let stopped = false;
  let timer: Timer;
  const again = () => {
    timer = clock.after(lookEveryMs, () => {
      if (stopped) return;
      try {
        look(options, staleAfterMs, since);
      } catch (thrown) {
        options.warn("idle VMs were not looked for", { error: errorBody(thrown) });
      }
      again();
    });
  };
  again();
  return () => {
    stopped = true;
    timer.cancel();
  };
}

function look(options: AutoStopOptions, staleAfterMs: number, since: number): void {
  const { ledger, uses, clock, timeouts } = options;
  const connected = options.connectedAddresses();
  const { vms } = ledger.state;
  for (const vm of Object.values(vms)) {
    if (vm.phase !== "running") continue;
    if (connected.has(vm.address)) uses.touch(vm.id);
    if (clock.now() - lastUse(vm, uses, since) < staleAfterMs) continue;
    ledger.commit(decide(ledger.state, { kind: "stop", vmId: vm.id }, timeouts), autoStopCause);
  }
  uses.forgetBut((id) => vms[id]?.phase === "running");
}

const lastUse = (vm: Vm, uses: Activity, since: number): number =>
  Math.max(since, vm.readyAt ?? 0, uses.lastUse(vm.id) ?? 0);
