/** What runs VMs in the lab: the firecracker and jailer that the environment names, else doubles of both. */
import { execFile } from "node:child_process";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Lab } from "./lab.js";

const run = promisify(execFile);
const sources = ["hostlab/vmm-double.c", "hostlab/vmm-double-guest.c", "doubles/jailer-double.c"].map(
  (file) => new URL(`../../../tests/${file}`, import.meta.url).pathname,
);

const names = ["firecracker", "jailer"] as const;

/** The directory with the real ones; undefined: doubles. */
export const realFirecracker = process.env["BANGER_TEST_FIRECRACKER"] || undefined;

/** Puts them into the lab's /usr/local/bin. */
export async function installVmm(lab: Lab, scratch: string): Promise<void> {
  let directory = realFirecracker;
  if (directory === undefined) {
    directory = scratch;
    const [double, copy] = names.map((name) => join(scratch, name)) as [string, string];
    await run("musl-gcc", ["-static", "-Os", "-Wall", "-Wextra", "-Werror", "-o", double, ...sources]);
    copyFileSync(double, copy);
  }
  await lab.copyIn("/usr/local/bin", ["-h", "-C", directory, ...names]);
}
