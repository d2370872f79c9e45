/** What the tests that tell a scene have in common: a VM that runs, and what a run shows of it. */
import type { Outcome } from "./outcome.js";
import type { Action } from "./scenario.js";

export const bootMs = 60_000;
export const up: Action[] = [
  { kind: "create", name: 0, start: true, afterMs: 0 },
  { kind: "startDaemon", afterMs: bootMs },
];

export const deaths = ({ trace }: Outcome): number =>
  trace.filter((line) => line.endsWith(" dies at a boundary")).length;
export const told = (boundary: number, { problems, trace }: Outcome) =>
  `boundary ${boundary}: ${problems.join("; ")}\n${trace.join("\n")}`;
export const readies = ({ trace }: Outcome): number =>
  trace.filter((line) => line.includes(" vm.ready ")).length;
