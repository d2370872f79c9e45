/** Makes a kernel: an uncompressed one, the modules that it boots with, and all its modules as a layer. */
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { BangerError } from "../../lib/errors.js";
import { packageSources } from "../apt-sources.js";
import { resolveKernel } from "../catalog.js";
import { newestKernel } from "../kernel/boot-files.js";
import { modulesArchive } from "../kernel/initrd.js";
import { extractVmlinux } from "../kernel/vmlinux.js";
import { kernelFile, modulesFile, modulesTree } from "../manifest.js";
import { type BuildContext, type BuildResult, packBootModules, scratchIn } from "./build-context.js";
import { fetchPackage } from "./package.js";

/** Within what the daemon gives the whole. */
const buildDeadlineMs = 55 * 60_000;

/** Writes the kernel's three files from `bzImage` and the tree `root`/lib/modules/`release`, if there is one. */
async function writeKernel(
  build: BuildContext,
  image: string,
  root: string,
  release?: string,
): Promise<void> {
  const { job, runTool, signal } = build;
  const { partial } = job;
  await writeFile(`${partial}/${kernelFile}`, extractVmlinux(await readFile(image)), { mode: 0o600 });
  const all = `${partial}/${modulesTree}`;
  const owner = ["--owner=0", "--group=0", "--numeric-owner", "--mode=u+rwX,go=rX", "--sort=name"];
  // The links to the tree of its build lead nowhere in a guest.
  const leftOut = ["--exclude=lib/modules/*/build", "--exclude=lib/modules/*/source"];
  const what = release === undefined ? ["-T", "/dev/null"] : [...leftOut, `lib/modules/${release}`];
  const argv = ["-c", "-f", all, ...owner, "-C", root, ...what];
  await runTool({ tool: "tar", argv, writes: partial, package: "tar", signal });
  const boot = `${partial}/${modulesFile}`;
  if (release === undefined) await writeFile(boot, modulesArchive([]), { mode: 0o600 });
  else await packBootModules(`${root}/lib/modules/${release}`, boot);
}

/** Has depmod write what says which module needs which. */
async function listModules({ runTool, signal }: BuildContext, root: string, release: string): Promise<void> {
  await runTool({ tool: "depmod", argv: ["-b", root, release], writes: root, package: "kmod", signal });
}

/** The catalog's kernel: one of Debian's packages, or built from Debian's source. */
export async function makeKernelByRecipe(build: BuildContext): Promise<BuildResult> {
  const { job, runTool, signal, stage } = build;
  const resolved = await resolveKernel(job.name);
  const { recipe, suite, imageId } = resolved;
  if (imageId !== job.imageId)
    throw new BangerError("image_outdated", `the recipe of ${job.imageId} is not in this version's catalog`, {
      hint: `banger kernel pull ${job.name}`,
    });
  stage("download", "package lists");
  const sources = await packageSources(suite, job.mirror, runTool, signal);
  let kernelRelease = "";
  await scratchIn(build, async (scratch) => {
    const root = await fetchPackage(build, sources, recipe.package, scratch);
    kernelRelease =
      resolved.sources === null
        ? await unpackKernel(build, root)
        : await buildKernel(build, root, scratch, resolved.sources);
  });
  return { suite, kernelRelease, bootArguments: recipe.bootArguments };
}

/** A kernel that a package brings, whose files lie below `root`. */
async function unpackKernel(build: BuildContext, root: string): Promise<string> {
  build.stage("kernel", "unpacking the kernel and its modules");
  const release = newestKernel(await readdir(`${root}/boot`));
  if (release === undefined) throw new BangerError("kernel_unusable", "the package has no kernel in /boot");
  await listModules(build, root, release);
  await writeKernel(build, `${root}/boot/vmlinuz-${release}`, root, release);
  return release;
}

/** A kernel whose source a package has brought below `root`. */
async function buildKernel(
  build: BuildContext,
  root: string,
  scratch: string,
  { config, script }: { config: string; script: string },
): Promise<string> {
  const archive = (await readdir(`${root}/usr/src`)).find((name) => name.endsWith(".tar.xz"));
  if (archive === undefined)
    throw new BangerError("kernel_unusable", "the package has no source in /usr/src");
  await writeFile(`${scratch}/config`, config);
  const built = `${scratch}/built`;
  await mkdir(built);
  build.stage("build", `compiling ${archive.replace(".tar.xz", "")}`);
  await build.runTool({
    tool: "sh",
    argv: ["-ec", `cd "$scratch"\n${script}`, "sh", `${root}/usr/src/${archive}`, `${scratch}/config`, built],
    env: { scratch },
    writes: scratch,
    package: "gcc make flex bison bc libelf-dev",
    signal: build.signal,
    deadlineMs: buildDeadlineMs,
  });
  await writeKernel(build, `${built}/vmlinux`, root);
  return (await readFile(`${built}/release`, "utf8")).trim();
}

const kernelNames = /^(vmlinux|vmlinuz|bzImage)(-.+)?$/;

/** A kernel that the user made: `vmlinux` or `bzImage`, and lib/modules/RELEASE where it needs modules. */
export async function makeKernelFromDirectory(build: BuildContext, path: string): Promise<BuildResult> {
  const { runTool, signal, stage } = build;
  stage("copy", path);
  const image = (await readdir(path)).filter((name) => kernelNames.test(name)).sort()[0];
  if (image === undefined)
    throw new BangerError("kernel_unusable", `${path} has no vmlinux, vmlinuz or bzImage`, {
      hint: `ls ${path}`,
    });
  const releases = await readdir(`${path}/lib/modules`).catch(() => []);
  const [release, another] = releases;
  if (another !== undefined)
    throw new BangerError("kernel_unusable", `${path}/lib/modules has more than one release`, {
      hint: `leave only the one that belongs to ${image}`,
    });
  if (release === undefined) await writeKernel(build, `${path}/${image}`, path);
  else
    await scratchIn(build, async (scratch) => {
      // Whoever made them may not have had depmod list them; their own tree stays as it is.
      const root = `${scratch}/root`;
      await mkdir(`${root}/lib/modules`, { recursive: true });
      const argv = ["-r", `${path}/lib/modules/${release}`, `${root}/lib/modules`];
      await runTool({ tool: "cp", argv, writes: scratch, package: "coreutils", signal });
      await listModules(build, root, release);
      await writeKernel(build, `${path}/${image}`, root, release);
    });
  return { kernelRelease: release ?? "", bootArguments: "" };
}
