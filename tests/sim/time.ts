/** Virtual time: timers fire in order, each after everything that the one before it set going has come to rest. */
import type { Clock, Timer } from "../../src/lib/clock.js";
import type { Random } from "./random.js";

interface Entry {
  at: number;
  order: number;
  callback: () => void;
}

export class Time {
  #now = Date.UTC(2030, 0, 1);
  #order = 0;
  #entries: Entry[] = [];

  now(): number {
    return this.#now;
  }

  after(delayMs: number, callback: () => void): Timer {
    const entry = { at: this.#now + Math.max(0, delayMs), order: this.#order++, callback };
    let index = this.#entries.length;
    while (index > 0 && (this.#entries[index - 1] as Entry).at > entry.at) index -= 1;
    this.#entries.splice(index, 0, entry);
    return {
      cancel: () => {
        const found = this.#entries.indexOf(entry);
        if (found >= 0) this.#entries.splice(found, 1);
      },
    };
  }

  /** Lets `durationMs` go by. */
  async advance(durationMs: number): Promise<void> {
    const end = this.#now + durationMs;
    await settle();
    for (let first = this.#entries[0]; first !== undefined && first.at <= end; first = this.#entries[0]) {
      this.#entries.shift();
      this.#now = first.at;
      first.callback();
      await settle();
    }
    this.#now = end;
  }
}

/** Promise jobs all run before the next macrotask. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A daemon's clock; after `kill` its timers never fire, as those of a dead process. */
export class LifeClock implements Clock {
  readonly #time: Time;
  readonly #chance: Random;
  #alive = true;

  constructor(time: Time, chance: Random) {
    this.#time = time;
    this.#chance = chance;
  }

  now(): number {
    return this.#time.now();
  }

  after(delayMs: number, callback: () => void): Timer {
    return this.#time.after(delayMs, () => {
      if (this.#alive) callback();
    });
  }

  random(): number {
    return this.#chance.next();
  }

  hex(bytes: number): string {
    return Array.from({ length: bytes * 2 }, () => this.#chance.between(0, 15).toString(16)).join("");
  }

  kill(): void {
    this.#alive = false;
  }
}
