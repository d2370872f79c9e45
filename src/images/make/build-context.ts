/** What every way to make an image is given, and what it says of what it has made. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { copyFile, link, lstat, mkdir, open, readFile, writeFile } from "node:fs/promises";
import { exists, flush } from "../../host/publish.js";
import { removeTree } from "../../host/remove-tree.js";
import type { RunTool } from "../../host/run-tool.js";
import { BangerError } from "../../lib/errors.js";
import type { LayerProgress } from "../../model/model.js";
import { modulesArchive } from "../kernel/initrd.js";
import { type BootModule, bootModules, loadOrder } from "../kernel/kernel-modules.js";
import { filesOf, kernelFile, type Manifest, modulesFile, verifyImage, workSeedFile } from "../manifest.js";
import type { BuildJob } from "./job.js";

export interface BuildContext {
  job: BuildJob;
  runTool: RunTool;
  /** Of every program: where tools are, proxies. */
  environment: Readonly<Record<string, string>>;
  signal: AbortSignal;
  stage: (stage: string, detail?: string, layer?: LayerProgress) => void;
  /** Ms since the epoch. */
  now: () => number;
}

export type BuildResult = Pick<Manifest, "kernelRelease" | "bootArguments" | "suite" | "oci">;

/** Takes the boot set of the kernel that the job needs; its files never change, so the image shares them. */
export async function takeKernel({ job }: BuildContext): Promise<Manifest> {
  if (job.need === null) throw new BangerError("internal", `${job.imageId} is built without a kernel`);
  const manifest = verifyImage(job.need);
  for (const file of [kernelFile, modulesFile]) {
    await link(`${job.need}/${file}`, `${job.partial}/${file}`).catch(async (error) => {
      if ((error as NodeJS.ErrnoException).code !== "EXDEV") throw error;
      await copyFile(`${job.need}/${file}`, `${job.partial}/${file}`);
    });
  }
  return manifest;
}

/** Packs the modules that a guest boots with, out of a tree of /lib/modules/RELEASE. */
export async function packBootModules(tree: string, output: string): Promise<void> {
  const [needs, builtin] = await Promise.all(
    ["modules.dep", "modules.builtin"].map((name) => readFile(`${tree}/${name}`, "utf8")),
  );
  const modules: (BootModule & { content: Buffer })[] = [];
  for (const module of loadOrder(needs ?? "", builtin ?? "", bootModules))
    modules.push({ ...module, content: await readFile(`${tree}/${module.path}`) });
  await writeFile(output, modulesArchive(modules), { mode: 0o600 });
}

async function digest(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

/** The manifest of what lies in the job's partial directory, all of it durable. */
export async function manifestOfBuild({ job }: BuildContext, made: BuildResult): Promise<Manifest> {
  const files: Manifest["files"] = {};
  let sizeBytes = 0;
  const seed = (await exists(`${job.partial}/${workSeedFile}`)) ? [workSeedFile] : [];
  for (const name of [...filesOf(job.imageId), ...seed]) {
    const path = `${job.partial}/${name}`;
    await flush(path);
    const file = await open(path, "r");
    const { size } = await file.stat().finally(() => file.close());
    // Disks are mostly holes: reading them whole would take longer than the rest of the making.
    files[name] = { bytes: size, ...(name.endsWith(".ext4") ? {} : { sha256: await digest(path) }) };
    sizeBytes += (await lstat(path)).blocks * 512;
  }
  const { name, source } = job;
  return { schema: 1, name, source, ...made, sizeBytes: Math.max(1, sizeBytes), files };
}

/** A directory for the making that goes with the partial directory. */
export async function scratchIn(
  { job }: BuildContext,
  use: (scratch: string) => Promise<void>,
): Promise<void> {
  const scratch = `${job.partial}/scratch`;
  await mkdir(scratch, { mode: 0o700 });
  await use(scratch);
  await removeTree(scratch);
}

const usualSteps = 10;
const betweenStepsMs = 1_000;

/**
 * Says when progress is due: every report goes into the log and stays there. At most `steps` times
 * and once more at the end, and never sooner after another than a second.
 */
export function throttle(
  { now }: BuildContext,
  steps = usualSteps,
): (done: number, total: number) => boolean {
  let toldStep = -1;
  let toldMs = Number.NEGATIVE_INFINITY;
  return (done, total) => {
    const step = Math.floor((steps * done) / Math.max(1, total));
    if (step <= toldStep || now() - toldMs < betweenStepsMs) return false;
    toldStep = step;
    toldMs = now();
    return true;
  };
}
