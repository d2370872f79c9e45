/** A clock that a test moves by hand: nothing happens but what the test lets happen. */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Clock } from "../src/lib/clock.js";

interface Alarm {
  at: number;
  callback: () => void;
}

export class ManualClock implements Clock {
  #now = 1_000_000;
  #alarms: Alarm[] = [];

  now = (): number => this.#now;
  random = (): number => 0.5;
  hex = (bytes: number): string => "ab".repeat(bytes);

  after(delayMs: number, callback: () => void) {
    const alarm = { at: this.#now + delayMs, callback };
    this.#alarms.push(alarm);
    return { cancel: () => void (this.#alarms = this.#alarms.filter((other) => other !== alarm)) };
  }

  /** Lets what was already promised happen. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 5; turn++) await nextTurn();
  }

  /** Moves on by `ms`, firing each timer at its moment and letting its consequences happen before the next. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await this.settle();
    for (;;) {
      const next = this.#alarms.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#alarms = this.#alarms.filter((alarm) => alarm !== next);
      this.#now = Math.max(this.#now, next.at);
      next.callback();
      await this.settle();
    }
    this.#now = end;
  }
}
