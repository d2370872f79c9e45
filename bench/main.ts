/** `npm run bench [-- --json] [-- a b …]`: measures banger against bare floors and says which bounds hold. */
import { TestHome } from "../tests/e2e/harness.js";
import { coldBoot } from "./cold.js";
import { appends, cliStart, daemonStart, sweep } from "./core.js";
import type { Figure } from "./measure.js";
import { names } from "./names.js";
import { ociImage } from "./oci.js";
import { workspace } from "./workspace.js";

const parts: Record<string, (home: TestHome) => Promise<Figure | Figure[]>> = {
  a: coldBoot,
  b: cliStart,
  c: appends,
  d: sweep,
  e: daemonStart,
  n: names,
  o: ociImage,
  w: workspace,
};

const words = process.argv.slice(2);
const json = words.includes("--json");
const chosen = words.filter((word) => word in parts);

const figures: Figure[] = [];
for (const name of chosen.length > 0 ? chosen : Object.keys(parts)) {
  const home = new TestHome();
  try {
    const found = await parts[name]?.(home);
    for (const figure of [found ?? []].flat()) {
      figures.push(figure);
      if (!json) console.log(row(figure));
    }
  } finally {
    await home.dispose();
  }
}
if (json) console.log(JSON.stringify(figures, null, 2));
process.exitCode = figures.every(({ holds }) => holds) ? 0 : 1;

function row({ name, about, value, unit, bound, holds }: Figure): string {
  const shown = `${Number(value.toPrecision(3))} ${unit}`.trim();
  return `(${name}) ${about.padEnd(70)} ${shown.padStart(10)}   ${bound.padEnd(7)} ${holds ? "holds" : "DOES NOT HOLD"}`;
}
