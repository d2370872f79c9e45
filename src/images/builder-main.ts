/** Entry point of the image builder, a process of its own: a job on standard input, progress lines on standard output. */
import { createHash } from "node:crypto";
import { createReadStream, writeSync } from "node:fs";
import { chmod, mkdir, mkdtemp, open, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { text } from "node:stream/consumers";
import { hostError } from "../effects/host-error.js";
import { publishContent } from "../effects/publish.js";
import { toolEnvironment, toolRunner } from "../effects/run-tool.js";
import { BangerError, errorBody } from "../errors.js";
import { packageSources } from "./apt-sources.js";
import { extractBootFiles } from "./boot-files.js";
import { type BuildJob, type BuildReport, builderFile, builderRecord } from "./builder-process.js";
import { resolveRecipe } from "./catalog.js";
import { kernelFile, type Manifest, manifestFile, modulesFile, rootfsFile } from "./manifest.js";
import { type BuildStage, makeRootfs } from "./rootfs.js";

const report = (line: BuildReport): void => {
  try {
    writeSync(1, `${JSON.stringify(line)}\n`);
  } catch {
    // The daemon that asked has gone; the next one finds the image, or this process by its record.
  }
};

const stage = (name: BuildStage, detail?: string): void =>
  report({ stage: name, ...(detail === undefined ? {} : { detail }) });

/** A directory that the build's own user can enter: the image directory itself for root, else one below /var/tmp. */
async function makeScratch(job: BuildJob, asRoot: boolean): Promise<string> {
  if (asRoot) {
    await mkdir(`${job.partial}/scratch`, { mode: 0o700 });
    return `${job.partial}/scratch`;
  }
  const scratch = await mkdtemp("/var/tmp/banger-build-");
  await chmod(scratch, 0o1777);
  return scratch;
}

async function digest(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

async function sync(path: string): Promise<void> {
  const file = await open(path, "r");
  await file.sync().finally(() => file.close());
}

async function writeManifest(
  job: BuildJob,
  resolved: Awaited<ReturnType<typeof resolveRecipe>>,
  kernelRelease: string,
) {
  const files: Manifest["files"] = {};
  let sizeBytes = 0;
  for (const name of [rootfsFile, kernelFile, modulesFile]) {
    const path = `${job.partial}/${name}`;
    await sync(path);
    const { size, blocks } = await stat(path);
    // The root disk is mostly holes: reading it whole would take longer than the rest of this stage.
    files[name] = { bytes: size, ...(name === rootfsFile ? {} : { sha256: await digest(path) }) };
    sizeBytes += blocks * 512;
  }
  const { imageId, name, suite, recipe } = resolved;
  const { bootArguments } = recipe;
  const manifest: Manifest = {
    schema: 1,
    imageId,
    name,
    suite,
    kernelRelease,
    bootArguments,
    sizeBytes,
    files,
  };
  await publishContent(`${job.partial}/${manifestFile}`, `${JSON.stringify(manifest, null, 2)}\n`, 0o600);
}

async function build(job: BuildJob): Promise<void> {
  const asRoot = process.getuid?.() === 0;
  const environment = { ...toolEnvironment(job.searchPath), ...job.proxies };
  const runTool = toolRunner(job.searchPath);
  const { signal } = new AbortController();
  const resolved = await resolveRecipe(job.name);
  if (resolved.imageId !== job.imageId)
    throw new BangerError("image_outdated", `the recipe of ${job.imageId} is not in this version's catalog`, {
      hint: `banger image pull ${job.name}`,
    });
  stage("download", "package lists");
  const sources = await packageSources(resolved.suite, job.mirror, runTool, signal);
  const scratch = await makeScratch(job, asRoot);
  await writeFile(`${job.partial}/${builderFile}`, builderRecord(scratch));
  const output = `${job.partial}/${rootfsFile}`;
  try {
    const mode = asRoot ? "root" : "unshare";
    await makeRootfs({ resolved, sources, output, scratch, environment, mode, stage });
  } finally {
    // What other users of the namespace left here only `ensureNoPartial` can remove; the build's own error counts.
    await rm(scratch, { recursive: true, force: true }).catch(() => undefined);
  }
  stage("kernel", "kernel and boot modules");
  const kernelRelease = await extractBootFiles(job.partial, runTool, signal);
  await writeManifest(job, resolved, kernelRelease);
  await rm(`${job.partial}/${builderFile}`);
  await sync(job.partial);
  await rename(job.partial, job.directory);
  await sync(dirname(job.directory));
}

const job = JSON.parse(await text(process.stdin)) as BuildJob;
try {
  process.umask(0o077);
  await mkdir(job.partial, { mode: 0o700 });
  // Before anything else is started: whoever finds this directory later must find what works in it.
  await writeFile(`${job.partial}/${builderFile}`, builderRecord());
  await build(job);
  report({ done: true });
} catch (error) {
  report({ error: errorBody(hostError(error, job.partial)) });
  process.exitCode = 1;
}
