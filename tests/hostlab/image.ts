/** The lab's own image: debian-slim with what a host of banger's system mode has, built by the catalog's builder. */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { basename } from "node:path";
import { type RunTool, toolEnvironment, toolRunner } from "../../src/host/run-tool.js";
import { packageSources } from "../../src/images/apt-sources.js";
import { type ResolvedRecipe, resolveImage } from "../../src/images/catalog.js";
import { extractBootFiles } from "../../src/images/kernel/boot-files.js";
import { kernelFile, modulesFile, rootfsFile } from "../../src/images/manifest.js";
import { makeRootfs } from "../../src/images/rootfs.js";
import { goesWithUs } from "../e2e/harness.js";

/** What a host of system mode has beside debian-slim's own packages; strace and nc are for whoever looks into a lab. */
const hostPackages = [
  ...["dbus", "dmsetup", "e2fsprogs", "iptables", "libstdc++6", "nftables", "systemd-resolved"],
  ...["mmdebstrap", "netcat-openbsd", "strace", "uidmap", "zstd"],
  // For user mode, which runs in the lab as well.
  ...["qemu-system-x86", "qemu-utils"],
];
const rootfsMiB = 16_384;

export interface LabImage {
  rootfs: string;
  kernel: string;
  modules: string;
}

const customizeScript = new URL("../../../tests/hostlab/customize.sh", import.meta.url);

async function labRecipe(): Promise<ResolvedRecipe> {
  const base = await resolveImage("debian-slim");
  if (!("recipe" in base)) throw new Error("debian-slim has no recipe to extend");
  const { recipe, customize } = base;
  return {
    ...base,
    recipe: { ...recipe, packages: [...recipe.packages, ...hostPackages], rootfsMiB },
    customize: `${customize}\n${await readFile(customizeScript, "utf8")}`,
  };
}

/**
 * The lab's image below `cache`, built where this recipe has not been built yet: a minute. `guest` is the directory of
 * the image that VMs inside start from; the lab has it in /opt/guest-images.
 */
export async function labImage(cache: string, guest: string, signal: AbortSignal): Promise<LabImage> {
  const resolved = await labRecipe();
  const hash = createHash("sha256")
    .update(JSON.stringify([resolved, basename(guest)]))
    .digest("hex");
  const directory = `${cache}/hostlab-${hash.slice(0, 8)}`;
  if (!existsSync(directory)) await build(resolved, guest, directory, signal);
  const path = (name: string) => `${directory}/${name}`;
  return { rootfs: path(rootfsFile), kernel: path(kernelFile), modules: path(modulesFile) };
}

async function build(resolved: ResolvedRecipe, guest: string, directory: string, signal: AbortSignal) {
  const partial = `${directory}.partial`;
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial, { recursive: true });
  const searchPath = process.env["PATH"] ?? "";
  const runTool = toolRunner(searchPath);
  const scratch = await mkdtemp("/var/tmp/banger-hostlab-");
  goesWithUs(scratch);
  try {
    // In a namespace the build's own user is another one, who may not look into this user's home.
    await chmod(scratch, 0o1777);
    await copyGuest(guest, `${scratch}/guest-images`, runTool, signal);
    await makeRootfs({
      resolved,
      sources: await packageSources(resolved.suite, null, runTool, signal),
      output: `${partial}/${rootfsFile}`,
      scratch,
      environment: toolEnvironment(searchPath),
      mode: process.getuid?.() === 0 ? "root" : "unshare",
      stage: (stage, detail) => console.error(`hostlab image: ${stage} ${detail ?? ""}`),
    });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  await extractBootFiles(partial, runTool, signal);
  await rename(partial, directory);
}

async function copyGuest(guest: string, to: string, runTool: RunTool, signal: AbortSignal): Promise<void> {
  await mkdir(to);
  const run = (tool: string, ...argv: string[]) =>
    runTool({ tool, argv, writes: to, package: "coreutils", signal, deadlineMs: 300_000 });
  await run("cp", "-a", "--sparse=always", guest, to);
  await run("chmod", "-R", "a+rX", to);
}
