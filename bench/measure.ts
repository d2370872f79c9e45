/** Times two things in turn, A B A B …, so that a machine whose speed drifts does so for both. */

export interface Figure {
  /** Letter of the table, and what is measured against what. */
  name: string;
  about: string;
  value: number;
  unit: string;
  /** What must hold. */
  bound: string;
  holds: boolean;
  /** Every sample, for whoever distrusts a median. */
  samples: Record<string, number[]>;
}

/** Something to time: what `prepare` and `clean` do is not counted. */
export interface Timed {
  prepare?: () => void | Promise<void>;
  run: () => void | Promise<void>;
  clean?: () => void | Promise<void>;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

/** Milliseconds that one run takes. */
export async function time({ prepare, run, clean }: Timed): Promise<number> {
  await prepare?.();
  const start = performance.now();
  await run();
  const taken = performance.now() - start;
  await clean?.();
  return taken;
}

export type Samples = { measured: number[]; floor: number[] };

/** Milliseconds of each of `rounds` runs of both, after one uncounted run of each. */
export async function pairs(rounds: number, measured: Timed, floor: Timed): Promise<Samples> {
  const samples: Samples = { measured: [], floor: [] };
  await time(measured);
  await time(floor);
  for (let round = 0; round < rounds; round++) {
    samples.measured.push(await time(measured));
    samples.floor.push(await time(floor));
  }
  return samples;
}

/** The median of the ratios pair by pair. */
export const ratio = ({ measured, floor }: Samples): number =>
  median(measured.map((value, index) => value / (floor[index] as number)));
