/** A queue of keys: one pass of a key at a time, many keys at once, bounded; wakes carry nothing but the key. */

export class Queue {
  readonly #concurrency: number;
  readonly #pass: (key: string) => Promise<void>;
  /** Waiting for a free place, in the order of their wakes. */
  readonly #waiting = new Set<string>();
  readonly #running = new Set<string>();
  #whenIdle: (() => void)[] = [];

  /** `pass` must not reject: what goes wrong in it is its own to tell. */
  constructor(concurrency: number, pass: (key: string) => Promise<void>) {
    this.#concurrency = concurrency;
    this.#pass = pass;
  }

  /** Asks for a pass; one that is under way may have looked too early, so another follows it. */
  wake(key: string): void {
    this.#waiting.add(key);
    this.#advance();
  }

  /** Forgets what waits and resolves when the passes under way have ended. */
  drain(): Promise<void> {
    this.#waiting.clear();
    return this.#running.size === 0
      ? Promise.resolve()
      : new Promise((resolve) => this.#whenIdle.push(resolve));
  }

  #advance(): void {
    for (const key of this.#waiting) {
      if (this.#running.size >= this.#concurrency) return;
      if (this.#running.has(key)) continue;
      this.#waiting.delete(key);
      this.#running.add(key);
      void this.#pass(key).then(() => this.#done(key));
    }
  }

  #done(key: string): void {
    this.#running.delete(key);
    this.#advance();
    if (this.#running.size > 0) return;
    for (const resolve of this.#whenIdle.splice(0)) resolve();
  }
}
