/** Entry point of the process that makes an image's seed for the daemon: the image's directory is its argument. */
import { makeWorkSeed } from "./work-seed.js";

try {
  await makeWorkSeed(process.argv[2] ?? "");
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}
