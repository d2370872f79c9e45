/** Runs seeds: `npm run sim -- --seeds 10000 [--from SEED] [--trace]`; a failing seed is shrunk and printed. */
import { parseArgs } from "node:util";
import { addMarks } from "./marks.js";
import type { Outcome } from "./outcome.js";
import { Run } from "./run.js";
import { type Scenario, scenario, shrink } from "./scenario.js";

/** Runs one seed; the text of its failure, shrunk and with the command that replays it, or how it came to rare cases. */
export async function trySeed(seed: number, trace = false): Promise<string | Outcome["marks"]> {
  const whole = scenario(seed);
  const outcome = await new Run(whole).outcome();
  if (trace) console.log(outcome.trace.join("\n"));
  if (outcome.problems.length === 0) return outcome.marks;
  const fails = async (candidate: Scenario) => (await new Run(candidate).outcome()).problems.length > 0;
  const small = await shrink(whole, fails);
  const { problems, trace: lines } = await new Run(small).outcome();
  return [
    `seed ${seed}: ${outcome.problems.join("; ")}`,
    `shrunk to ${small.actions.length} of ${whole.actions.length} actions, faults ${small.faults ? "on" : "off"}:`,
    ...problems,
    ...lines,
    `replay: npm run sim -- --seeds 1 --from ${seed} --trace`,
  ].join("\n");
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seeds: { type: "string", default: "200" },
      from: { type: "string", default: "1" },
      trace: { type: "boolean", default: false },
    },
  });
  const first = Number(values.from);
  const all = new Map<string, number>();
  for (let seed = first; seed < first + Number(values.seeds); seed++) {
    const result = await trySeed(seed, values.trace);
    if (typeof result === "string") {
      console.error(result);
      process.exitCode = 1;
      return;
    }
    addMarks(all, result);
  }
  for (const [mark, count] of [...all].sort()) console.log(`${String(count).padStart(8)} × ${mark}`);
  console.log(`${values.seeds} seeds from ${first}: every run held`);
}

if (process.argv[1] === import.meta.filename) await main();
