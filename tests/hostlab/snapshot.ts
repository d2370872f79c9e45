/** What a host looks like to whoever asks whether banger has left something behind, and how two looks differ. */
import { readFileSync } from "node:fs";
import type { Lab } from "./lab.js";

/** Facts by their heading. */
export type Snapshot = ReadonlyMap<string, readonly string[]>;

const script = readFileSync(new URL("../../../tests/hostlab/snapshot.sh", import.meta.url), "utf8");

function parseSnapshot(text: string): Snapshot {
  const sections = new Map<string, string[]>();
  let lines: string[] = [];
  for (const line of text.split("\n")) {
    const heading = /^== (.+)$/.exec(line)?.[1];
    if (heading !== undefined) {
      lines = [];
      sections.set(heading, lines);
    } else if (line !== "") lines.push(line);
  }
  return sections;
}

export const snapshot = async (lab: Lab): Promise<Snapshot> => parseSnapshot(await lab.ok(script));

/** Each fact that is in one of them only, as "heading: + fact" where it is new and "heading: - fact" where it is gone. */
export function differences(before: Snapshot, after: Snapshot): string[] {
  const missing = (from: readonly string[], lines: readonly string[]) => {
    const has = new Set(lines);
    return from.filter((line) => !has.has(line));
  };
  return [...new Set([...before.keys(), ...after.keys()])].flatMap((heading) => {
    const [was, is] = [before.get(heading) ?? [], after.get(heading) ?? []];
    return [
      ...missing(was, is).map((line) => `${heading}: - ${line}`),
      ...missing(is, was).map((line) => `${heading}: + ${line}`),
    ];
  });
}
