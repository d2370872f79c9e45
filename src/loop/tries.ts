/** What the loop remembers between passes of how each effect went. */
import type { Timer } from "../lib/clock.js";
import type { Effect, EffectKind } from "../model/model.js";
import type { Told } from "./telling.js";

/** What the loop remembers of one stream between passes; losing it costs a retry, never correctness. */
export interface Track {
  /** Passes in a row that had something to do. */
  passes: number;
  /** `phase` or `phase.step` that the passes and tries were made in. */
  position: string;
  timer: Timer | null;
  /** The log has the VMM process that runs now, as started or adopted by this daemon. */
  adopted: boolean;
  /** Of the effects that the last plan asked for, and of no others: a guest may have any number of them asked for. */
  tries: Map<string, Tries>;
  /** By kind of effect, and longer than any try: the log is permanent. */
  told: Map<EffectKind, Told>;
}

interface Tries {
  /** How often the effect was tried, with or without success, since nothing was to be done last. */
  count: number;
  /** Whether the last try had success. */
  done: boolean;
  /** When it may be tried again, whoever asks for a pass meanwhile. */
  notBefore: number;
}

export const newTrack = (position: string): Track => ({
  passes: 0,
  position,
  timer: null,
  adopted: false,
  tries: new Map(),
  told: new Map(),
});

/** How the effect was tried; kept from now on. */
export function triesOf(track: Track, effect: Effect): Tries {
  const key = JSON.stringify(effect);
  const tries = track.tries.get(key) ?? { count: 0, done: false, notBefore: 0 };
  track.tries.set(key, tries);
  return tries;
}

/** Forgets how often other effects were tried. */
export function keepTriesOf(track: Track, effects: readonly Effect[]): void {
  const wanted = new Set(effects.map((effect) => JSON.stringify(effect)));
  for (const key of track.tries.keys()) if (!wanted.has(key)) track.tries.delete(key);
}
