/** A pull in a process of its own, to be killed: reports each blob's progress on standard output. */
import { systemClock } from "../../src/lib/clock.js";
import { writeRootfs } from "../../src/oci/layers.js";
import { pullOci } from "../../src/oci/pull.js";

const [reference, directory] = process.argv.slice(2) as [string, string];
const searchPath = process.env.PATH ?? "";
const { signal } = new AbortController();
const { layers } = await pullOci(reference, {
  cacheDirectory: `${directory}/cache`,
  environment: process.env,
  searchPath,
  clock: systemClock,
  signal,
  onProgress: ({ number, receivedBytes, state }) =>
    process.stdout.write(`${number} ${receivedBytes} ${state}\n`),
});
process.stdout.write("pulled\n");
const onProgress = (): unknown => process.stdout.write("converting\n");
await writeRootfs(layers, `${directory}/root.ext4`, { seconds: 0, searchPath, signal, onProgress });
process.stdout.write("finished\n");
