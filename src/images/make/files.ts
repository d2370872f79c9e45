/** Makes an image of files that are there: of the user's own, which stay where they are, or of another image's. */
import { copyFile, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { BangerError } from "../../lib/errors.js";
import type { ImageSource } from "../../model/model.js";
import { modulesArchive } from "../kernel/initrd.js";
import { isElf } from "../kernel/unpack.js";
import { extractVmlinux } from "../kernel/vmlinux.js";
import {
  kernelFile,
  modulesFile,
  ownSeed,
  readManifest,
  rootfsFile,
  verifyImage,
  workSeedFile,
} from "../manifest.js";
import { type BuildContext, type BuildResult, packBootModules, takeKernel } from "./build-context.js";

type Files = Extract<ImageSource, { kind: "files" }>;

/** The kernel is linked to as well, unless it is packed: a guest is started with an unpacked one. */
async function takeOwnKernel({ job }: BuildContext, kernel: string): Promise<void> {
  const content = await readFile(kernel);
  if (isElf(content)) await symlink(kernel, `${job.partial}/${kernelFile}`);
  else await writeFile(`${job.partial}/${kernelFile}`, extractVmlinux(content), { mode: 0o600 });
}

/** The image's part of the initramfs: the user's, or packed of the user's modules, or nothing. */
async function takeModules({ job }: BuildContext, { initrd, modules }: Files): Promise<void> {
  const output = `${job.partial}/${modulesFile}`;
  if (initrd !== null) return symlink(initrd, output);
  if (modules === null) return writeFile(output, modulesArchive([]), { mode: 0o600 });
  const names = await readdir(modules);
  if (!names.includes("modules.dep"))
    throw new BangerError("kernel_unusable", `${modules} has no modules.dep`, {
      hint: "give the directory of one release, lib/modules/RELEASE",
    });
  await packBootModules(modules, output);
}

/** What a container image's directory says of it, which is passed on to what is built from its root disk. */
function containerOf(directory: string): Pick<BuildResult, "oci"> {
  try {
    const { oci } = readManifest(directory);
    return oci === undefined ? {} : { oci };
  } catch {
    return {};
  }
}

export async function makeFromFiles(build: BuildContext, source: Files): Promise<BuildResult> {
  const { job, stage } = build;
  stage("link", source.rootfs);
  await symlink(source.rootfs, `${job.partial}/${rootfsFile}`);
  if (source.workSeed !== undefined) await symlink(source.workSeed, `${job.partial}/${workSeedFile}`);
  const kept = containerOf(dirname(source.rootfs));
  if (source.kernel === null) {
    const { kernelRelease, bootArguments } = await takeKernel(build);
    return { kernelRelease, bootArguments, ...kept };
  }
  await takeOwnKernel(build, source.kernel);
  await takeModules(build, source);
  return {
    kernelRelease: source.modules === null ? "" : basename(source.modules),
    bootArguments: "",
    ...kept,
  };
}

/** Copies all of an image's files; holes stay holes. */
export async function makeCopy(build: BuildContext): Promise<BuildResult> {
  const { job, runTool, signal, stage } = build;
  if (job.need === null) throw new BangerError("internal", `${job.imageId} has no source to copy`);
  const manifest = verifyImage(job.need);
  const { kernelRelease, bootArguments, suite, oci } = manifest;
  stage("copy", basename(job.need));
  const options = ["--sparse=always", "--reflink=auto", "--dereference"];
  const disks = [rootfsFile, ...ownSeed(manifest)].map((name) => `${job.need}/${name}`);
  await runTool({
    tool: "cp",
    argv: [...options, "-t", job.partial, ...disks],
    writes: job.partial,
    package: "coreutils",
    signal,
    deadlineMs: 30 * 60_000,
  });
  for (const file of [kernelFile, modulesFile])
    await copyFile(`${job.need}/${file}`, `${job.partial}/${file}`);
  return { kernelRelease, bootArguments, ...(suite && { suite }), ...(oci && { oci }) };
}
