/** Makes an image by its recipe in the catalog: packages of the Debian archive, and scripts that finish the tree. */
import { chmod, mkdir, mkdtemp } from "node:fs/promises";
import { publishContent } from "../../host/publish.js";
import { removeTree } from "../../host/remove-tree.js";
import { packageSources } from "../apt-sources.js";
import type { ResolvedRecipe } from "../catalog.js";
import { extractBootFiles } from "../kernel/boot-files.js";
import { rootfsFile } from "../manifest.js";
import { makeRootfs } from "../rootfs.js";
import type { BuildContext, BuildResult } from "./build-context.js";
import { builderFile, builderRecord } from "./job.js";

/** A directory that the build's own user can enter: the image directory itself for root, else one below /var/tmp. */
async function makeScratch(partial: string, asRoot: boolean): Promise<string> {
  if (asRoot) {
    await mkdir(`${partial}/scratch`, { mode: 0o700 });
    return `${partial}/scratch`;
  }
  const scratch = await mkdtemp("/var/tmp/banger-build-");
  await chmod(scratch, 0o1777);
  return scratch;
}

export async function makeFromRecipe(build: BuildContext, resolved: ResolvedRecipe): Promise<BuildResult> {
  const { job, runTool, environment, signal, stage } = build;
  const asRoot = process.getuid?.() === 0;
  stage("download", "package lists");
  const sources = await packageSources(resolved.suite, job.mirror, runTool, signal);
  const scratch = await makeScratch(job.partial, asRoot);
  await publishContent(`${job.partial}/${builderFile}`, builderRecord(job.state, scratch), 0o600);
  const output = `${job.partial}/${rootfsFile}`;
  try {
    const mode = asRoot ? "root" : "unshare";
    await makeRootfs({ resolved, sources, output, scratch, environment, mode, stage });
  } finally {
    // What other users of the namespace left here only `ensureNoPartial` can remove; the build's own error counts.
    await removeTree(scratch).catch(() => undefined);
  }
  stage("kernel", "kernel and boot modules");
  const kernelRelease = await extractBootFiles(job.partial, runTool, signal);
  return { suite: resolved.suite, kernelRelease, bootArguments: resolved.recipe.bootArguments };
}
