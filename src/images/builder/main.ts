/** Entry point of the image builder, a process of its own: a job on standard input, progress lines on standard output. */
import { execFile } from "node:child_process";
import { writeSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { isKernelId } from "../../home/handles.js";
import { hostError } from "../../host/host-error.js";
import { asEnvironment } from "../../host/proxies.js";
import { flush, publishContent } from "../../host/publish.js";
import { removeTree } from "../../host/remove-tree.js";
import { toolEnvironment, toolRunner } from "../../host/run-tool.js";
import { systemClock } from "../../lib/clock.js";
import { BangerError, errorBody } from "../../lib/errors.js";
import { doomed } from "../build-failure.js";
import { resolveImage } from "../catalog.js";
import { type BuildContext, type BuildResult, manifestOfBuild } from "../make/build-context.js";
import { makeFromBundle } from "../make/bundle.js";
import { makeCopy, makeFromFiles } from "../make/files.js";
import {
  type BuildJob,
  type BuildReport,
  builderFile,
  builderRecord,
  type CleaningJob,
  isScratch,
} from "../make/job.js";
import { makeKernelByRecipe, makeKernelFromDirectory } from "../make/kernel.js";
import { makeFromOci } from "../make/oci.js";
import { makeFromRecipe } from "../make/recipe.js";
import { manifestFile } from "../manifest.js";
import { findWorkSeed, makeWorkSeed } from "../work-seed.js";

const report = (line: BuildReport): void => {
  try {
    writeSync(1, `${JSON.stringify(line)}\n`);
  } catch {
    // The daemon that asked has gone; the next one finds the image, or this process by its record.
  }
};

async function makeFromCatalog(build: BuildContext): Promise<BuildResult> {
  const { imageId, name } = build.job;
  const resolved = await resolveImage(name);
  if (resolved.imageId !== imageId)
    throw new BangerError("image_outdated", `${imageId} is not this version's catalog entry for ${name}`, {
      hint: `banger image pull ${name}`,
    });
  return "bundle" in resolved ? makeFromBundle(build, resolved.bundle) : makeFromRecipe(build, resolved);
}

function make(build: BuildContext): Promise<BuildResult> {
  const { imageId, source } = build.job;
  switch (source.kind) {
    case "catalog":
      return isKernelId(imageId) ? makeKernelByRecipe(build) : makeFromCatalog(build);
    case "oci":
      return makeFromOci(build, source);
    case "files":
      return makeFromFiles(build, source);
    case "copy":
      return makeCopy(build);
    case "directory":
      return makeKernelFromDirectory(build, source.path);
    default:
      return source satisfies never;
  }
}

async function build(job: BuildJob): Promise<void> {
  const build: BuildContext = {
    job,
    runTool: toolRunner(job.searchPath),
    environment: { ...toolEnvironment(job.searchPath), ...asEnvironment(job.proxies) },
    signal: new AbortController().signal,
    stage: (stage, detail, layer) =>
      report({ stage, ...(detail !== undefined && { detail }), ...(layer !== undefined && { layer }) }),
    now: () => systemClock.now(),
  };
  const manifest = await manifestOfBuild(build, await make(build));
  // Now, so that no VM has to wait for it.
  if (!isKernelId(job.imageId) && (await findWorkSeed(job.partial)).is === "missing")
    await makeWorkSeed(job.partial);
  await publishContent(`${job.partial}/${manifestFile}`, `${JSON.stringify(manifest, null, 2)}\n`, 0o600);
  // From here on a daemon that finds the directory gives it its name by itself; see build.ts.
  await rm(`${job.partial}/${builderFile}`);
  await flush(job.partial);
  await rename(job.partial, job.directory);
  await flush(dirname(job.directory));
}

/** Removes a tree whose files belong to users of a namespace, which only its root can do, and then its own root. */
async function clean({ scratch }: CleaningJob): Promise<void> {
  if (!isScratch(scratch)) throw new BangerError("internal", `${scratch} is not a build directory`);
  const env = toolEnvironment(process.env["PATH"] ?? "");
  await promisify(execFile)("mmdebstrap", ["--unshare-helper", "rm", "-rf", "--one-file-system", scratch], {
    env,
    timeout: 60_000,
  }).catch(() => undefined);
  await removeTree(scratch);
}

async function buildImage(job: BuildJob): Promise<void> {
  await mkdir(job.partial, { mode: 0o700 });
  // Before anything else is started: whoever finds this directory later must find what works in it.
  await publishContent(`${job.partial}/${builderFile}`, builderRecord(job.state), 0o600);
  await build(job);
}

process.umask(0o077);
// It shall end as by every other signal, and open no debugger.
process.on("SIGUSR1", () => process.exit(128 + 10));
report({ pid: process.pid });
const job = JSON.parse(await text(process.stdin)) as BuildJob | CleaningJob;
try {
  await ("scratch" in job ? clean(job) : buildImage(job));
  report({ done: true });
} catch (error) {
  report({ error: errorBody(doomed(hostError(error, "scratch" in job ? job.scratch : job.partial))) });
  process.exitCode = 1;
}
