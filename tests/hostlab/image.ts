/** The lab's own image: debian-slim with what a host of banger's system mode has, built by the catalog's builder. */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, rm } from "node:fs/promises";
import { delimiter } from "node:path";
import { toolEnvironment, toolRunner } from "../../src/effects/run-tool.js";
import { packageSources } from "../../src/images/apt-sources.js";
import { extractBootFiles } from "../../src/images/boot-files.js";
import { type ResolvedRecipe, resolveImage } from "../../src/images/catalog.js";
import { kernelFile, modulesFile, rootfsFile } from "../../src/images/manifest.js";
import { makeRootfs } from "../../src/images/rootfs.js";

/** What a host needs beside debian-slim's own packages; the last ones are for the tests and whoever looks why one failed. */
const hostPackages = [
  ...["dbus", "dmsetup", "e2fsprogs", "iptables", "libstdc++6", "nftables", "systemd-resolved"],
  ...["mmdebstrap", "netcat-openbsd", "strace", "uidmap", "zstd"],
];
const rootfsMiB = 16_384;

export interface LabImage {
  rootfs: string;
  kernel: string;
  modules: string;
}

const customizeScript = new URL("../../../tests/hostlab/customize.sh", import.meta.url);

/** `guest` is the directory of an image that VMs of the lab start from; it waits in /opt/guest-images. */
async function labRecipe(guest: string): Promise<ResolvedRecipe> {
  const base = await resolveImage("debian-slim");
  if (!("recipe" in base)) throw new Error("debian-slim has no recipe to extend");
  const { recipe, customize } = base;
  return {
    ...base,
    name: "hostlab",
    recipe: { ...recipe, packages: [...recipe.packages, ...hostPackages], rootfsMiB },
    customize: `${customize}\nguest=${guest}\n${await readFile(customizeScript, "utf8")}`,
  };
}

/** The image below `cache` with that guest image in it, built by root where it is not there: a minute. */
export async function labImage(cache: string, guest: string, signal: AbortSignal): Promise<LabImage> {
  const resolved = await labRecipe(guest);
  const hash = createHash("sha256").update(JSON.stringify(resolved)).digest("hex");
  const directory = `${cache}/hostlab-${hash.slice(0, 8)}`;
  if (!existsSync(directory)) await build(resolved, directory, signal);
  const path = (name: string) => `${directory}/${name}`;
  return { rootfs: path(rootfsFile), kernel: path(kernelFile), modules: path(modulesFile) };
}

async function build(resolved: ResolvedRecipe, directory: string, signal: AbortSignal): Promise<void> {
  const partial = `${directory}.partial`;
  await rm(partial, { recursive: true, force: true });
  await mkdir(`${partial}/scratch`, { recursive: true });
  const searchPath = (process.env["PATH"] ?? "").split(delimiter).join(":");
  const runTool = toolRunner(searchPath);
  await makeRootfs({
    resolved,
    sources: await packageSources(resolved.suite, null, runTool, signal),
    output: `${partial}/${rootfsFile}`,
    scratch: `${partial}/scratch`,
    environment: toolEnvironment(searchPath),
    mode: "root",
    stage: (stage, detail) => console.error(`hostlab image: ${stage} ${detail ?? ""}`),
  });
  await extractBootFiles(partial, runTool, signal);
  await rm(`${partial}/scratch`, { recursive: true });
  await rename(partial, directory);
}
