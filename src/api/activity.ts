/** When each VM was used last, as far as this daemon has seen: kept in memory, because losing it only costs time. */
import type { Clock } from "../lib/clock.js";
import type { VmId } from "../model/model.js";

export class Activity {
  readonly #clock: Clock;
  readonly #last = new Map<VmId, number>();
  readonly #open = new Map<VmId, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The VM is being used right now. */
  touch(id: VmId): void {
    this.#last.set(id, this.#clock.now());
  }

  /** A use that lasts; the result ends it. */
  begin(id: VmId): () => void {
    this.#open.set(id, (this.#open.get(id) ?? 0) + 1);
    return () => {
      const open = (this.#open.get(id) ?? 1) - 1;
      if (open > 0) this.#open.set(id, open);
      else this.#open.delete(id);
      this.touch(id);
    };
  }

  /** Ms since the epoch; now while a use lasts, null where this daemon has seen none. */
  lastUse(id: VmId): number | null {
    return this.#open.has(id) ? this.#clock.now() : (this.#last.get(id) ?? null);
  }

  forgetBut(isKnown: (id: VmId) => boolean): void {
    for (const id of this.#last.keys()) if (!isKnown(id)) this.#last.delete(id);
  }
}
