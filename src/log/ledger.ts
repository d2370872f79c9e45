/** The log and its fold side by side: append, then fold in memory, then tell. */

import { fold, initialState, stateSchema } from "../core/projection.js";
import type { NewEvent, StoredEvent } from "../model/events.js";
import { event, logStream } from "../model/events.js";
import type { State } from "../model/model.js";
import type { Log } from "./log.js";

const eventsPerSnapshot = 1000;

export type CommitListener = (events: readonly StoredEvent[]) => void;

export class Ledger {
  readonly log: Log;
  readonly #onFatal: (error: unknown) => void;
  #state: State;
  #snapshotSeq: number;
  readonly #listeners = new Set<CommitListener>();

  /**
   * Folds what came after the last snapshot; reads nothing older. `onFatal` is called when the log refuses
   * an append: nothing may be decided after that.
   */
  constructor(log: Log, onFatal: (error: unknown) => void) {
    this.log = log;
    this.#onFatal = onFatal;
    const snapshot = log.loadSnapshot(stateSchema);
    const base = (snapshot?.state as State | undefined) ?? initialState;
    this.#snapshotSeq = base.seq;
    this.#state = fold(base, log.read({ after: base.seq }));
  }

  get state(): State {
    return this.#state;
  }

  /**
   * Appends, folds and tells the listeners. Versions are those of the state, so that what was decided
   * from it is appended only onto it.
   * @throws BangerError when the append fails; then nothing has changed.
   */
  commit(events: readonly NewEvent[], cause: string): StoredEvent[] {
    if (events.length === 0) return [];
    const expected = Object.fromEntries(
      events.map(({ stream }) => [stream, this.#state.versions[stream] ?? 0]),
    );
    const stored = this.#write(() => this.log.append(events, { cause, expected }));
    this.#take(stored);
    return stored;
  }

  /** Moves a deleted VM's stream out of the log; the state forgets the VM. */
  archive(stream: string): void {
    const record = event(logStream, "log.stream_archived", {
      stream,
      lastAddressIndex: this.#state.lastAddressIndex,
    });
    this.#take([this.#write(() => this.log.archive(stream, record, `event:${this.#state.seq}`))]);
  }

  onCommit(listener: CommitListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Saves a last snapshot, without which the next start only folds more, and closes the log. */
  close(): void {
    try {
      if (this.#state.seq > this.#snapshotSeq) this.#saveSnapshot();
    } finally {
      this.log.close();
    }
  }

  #write<T>(write: () => T): T {
    try {
      return write();
    } catch (thrown) {
      this.#onFatal(thrown);
      throw thrown;
    }
  }

  #take(stored: readonly StoredEvent[]): void {
    this.#state = fold(this.#state, stored);
    for (const listener of this.#listeners) listener(stored);
    if (this.#state.seq - this.#snapshotSeq >= eventsPerSnapshot) this.#write(() => this.#saveSnapshot());
  }

  #saveSnapshot(): void {
    this.log.saveSnapshot(this.#state.seq, stateSchema, this.#state);
    this.#snapshotSeq = this.#state.seq;
  }
}
