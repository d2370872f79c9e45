/** One life of the simulated daemon: what it holds, and how a kill ends it. */
import type { Ledger } from "../../src/log/ledger.js";
import type { Log } from "../../src/log/log.js";
import type { Loop } from "../../src/loop/loop.js";
import type { LifeClock } from "./time.js";
import type { SimWorld } from "./world.js";

export interface Life {
  ledger: Ledger;
  log: Log;
  clock: LifeClock;
  world: SimWorld;
  loop: Loop;
  pulse: { alive: boolean };
}

/** Ended as by a kill: it does nothing more, and nothing of it is told. */
export function endLife(life: Life): void {
  life.pulse.alive = false;
  life.world.kill();
  life.clock.kill();
}
