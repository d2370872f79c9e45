/** The measured half of the OCI benchmark: a process of its own, so that its peak memory is its own. */
import { readFileSync } from "node:fs";
import { systemClock } from "../src/lib/clock.js";
import { writeRootfs } from "../src/oci/layers.js";
import { pullOci } from "../src/oci/pull.js";

const [reference, directory] = process.argv.slice(2) as [string, string];
const searchPath = process.env.PATH ?? "";
const { signal } = new AbortController();
const { layers } = await pullOci(reference, {
  cacheDirectory: `${directory}/cache`,
  environment: process.env,
  searchPath,
  clock: systemClock,
  signal,
});
await writeRootfs(layers, `${directory}/root.ext4`, { minimumFreeMiB: 512, seconds: 0, searchPath, signal });
const packedBytes = layers.reduce((sum, { size }) => sum + size, 0);
// Not getrusage(2): what it says begins with the peak of the process that started this one.
const peakKiB = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
const peakMiB = Math.round(Number(peakKiB) / 1024);
process.stdout.write(JSON.stringify({ peakMiB, packedBytes }));
