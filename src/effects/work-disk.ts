/** The disk that is a VM's /root: cloned of its image's seed or made empty, and grown. */
import { open, rm, stat, truncate } from "node:fs/promises";
import { BangerError } from "../errors.js";
import type { VmHandles } from "../handles.js";
import type { Effect, ImageId } from "../model.js";
import { exists, publish, publishContent, temporaryName } from "./publish.js";
import type { RunTool } from "./run-tool.js";

type EnsureDisk = Extract<Effect, { kind: "ensureDisk" }>;

/** The ext4 that /root of an image's VMs begins with, made where it is missing; null where it begins empty. */
export type WorkSeeds = (id: ImageId, signal: AbortSignal) => Promise<string | null>;

interface Tools {
  runTool: RunTool;
  workSeeds: WorkSeeds;
}

/** A file to be made at `path` by a tool. */
interface Making {
  path: string;
  sizeBytes: number;
  runTool: RunTool;
  signal: AbortSignal;
}

/**
 * Makes the work disk where it is missing, else grows it to the wanted size.
 * @throws BangerError `disk_too_small` when the image's /root does not fit it, and as tools fail
 */
export async function ensureWorkDisk(
  { workDisk, growingMark }: VmHandles,
  { imageId, diskMiB }: EnsureDisk,
  { runTool, workSeeds }: Tools,
  signal: AbortSignal,
): Promise<void> {
  const making: Making = { path: workDisk, sizeBytes: diskMiB * 1024 * 1024, runTool, signal };
  if (await exists(workDisk)) return ensureGrown(making, growingMark);
  const temporary = { ...making, path: temporaryName(workDisk) };
  const seed = await workSeeds(imageId, signal);
  if (seed === null) await makeEmpty(temporary);
  else await clone(temporary, seed);
  await publish(workDisk);
}

/** A file of holes, of the wanted size; what a crash left there goes. */
async function makeHoles(path: string, sizeBytes: number): Promise<void> {
  const file = await open(path, "w", 0o600);
  try {
    await file.truncate(sizeBytes);
  } finally {
    await file.close();
  }
}

async function makeEmpty({ path, sizeBytes, runTool, signal }: Making): Promise<void> {
  await makeHoles(path, sizeBytes);
  // The file is all holes, so what lazy initialisation would write is zero already: mke2fs touches a few blocks.
  const extended = "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0";
  const argv = ["-q", "-F", "-t", "ext4", "-m", "0", "-L", "banger-work", "-E", extended, path];
  await runTool({ tool: "mke2fs", argv, writes: path, package: "e2fsprogs", signal });
}

/** A copy of the seed that shares its blocks where the host can do that, made as large as wanted. */
async function clone(making: Making, seed: string): Promise<void> {
  const { path, sizeBytes, runTool, signal } = making;
  // The file is there before, so that it is its owner's alone whoever may read the seed.
  await makeHoles(path, 0);
  const argv = ["--reflink=auto", "--sparse=always", seed, path];
  await runTool({ tool: "cp", argv, writes: path, package: "coreutils", signal });
  const { size } = await stat(path);
  if (size < sizeBytes) await truncate(path, sizeBytes);
  try {
    await fillDisk(making);
  } catch (error) {
    if (size <= sizeBytes || !(error instanceof BangerError) || error.code !== "tool_failed") throw error;
    throw new BangerError("disk_too_small", `what the image has in /root needs more: ${error.message}`, {
      hint: "give the VM a larger --disk-size",
      cause: error,
    });
  }
  if (size > sizeBytes) await truncate(path, sizeBytes);
}

/** Makes the file system as large as the disk is to be. Status 1 of e2fsck: it was mended. */
async function fillDisk({ path, sizeBytes, runTool, signal }: Making): Promise<void> {
  const tool = { writes: path, package: "e2fsprogs", signal };
  await runTool({ ...tool, tool: "e2fsck", argv: ["-f", "-p", path], goodStatus: [0, 1] });
  await runTool({ ...tool, tool: "resize2fs", argv: [path, `${sizeBytes / 1024}K`] });
}

/**
 * Makes the disk and the file system on it at least that large. The mark tells, whatever happens meanwhile, that the
 * second may not have followed the first; a disk that holds something else than ext4 gets the room alone.
 */
async function ensureGrown(making: Making, growingMark: string): Promise<void> {
  const { path } = making;
  const { size } = await stat(path);
  const sizeBytes = Math.max(size, making.sizeBytes);
  if (size === sizeBytes && !(await exists(growingMark))) return;
  await publishContent(growingMark, "", 0o600);
  if (size < sizeBytes) await truncate(path, sizeBytes);
  if (await isExt(path)) await fillDisk({ ...making, sizeBytes });
  await rm(growingMark);
}

/** Whether the superblock has ext's magic number (ext4(5): offset 0x38 in the block at 1024). */
async function isExt(path: string): Promise<boolean> {
  const file = await open(path, "r");
  try {
    const { buffer } = await file.read(Buffer.alloc(2), 0, 2, 1024 + 0x38);
    return buffer.readUInt16LE(0) === 0xef53;
  } finally {
    await file.close();
  }
}
