/** What a run of the simulation yields. */
export interface Outcome {
  /** What is wrong, in words; empty when the run held. */
  problems: string[];
  /** Phase of each VM and image at the end, by name. */
  phases: Record<string, string>;
  /** How often it came to each rare case: see marks.ts. */
  marks: ReadonlyMap<string, number>;
  /** Everything that happened, for reading a failing run. */
  trace: string[];
}
