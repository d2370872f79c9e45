/** The disk that is a VM's /root: cloned of its image's seed or made empty, and grown. */
import { open, rm, stat, truncate } from "node:fs/promises";
import { basename, dirname } from "node:path";
import type { VmHandles } from "../../home/handles.js";
import { exists, makeHoles, publish, publishContent, temporaryName } from "../../host/publish.js";
import type { RunTool } from "../../host/run-tool.js";
import { BangerError } from "../../lib/errors.js";
import { event, type NewEvent, vmStream } from "../../model/events.js";
import type { Effect, ImageId, VmId } from "../../model/model.js";

type EnsureDisk = Extract<Effect, { kind: "ensureDisk" }>;

/** The ext4 that /root of an image's VMs begins with, made where it is missing; null where it begins empty. */
export type WorkSeeds = (id: ImageId, signal: AbortSignal) => Promise<string | null>;

interface Tools {
  runTool: RunTool;
  workSeeds: WorkSeeds;
  note: (event: NewEvent) => void;
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
  { vmId, imageId, diskMiB }: EnsureDisk,
  { runTool, workSeeds, note }: Tools,
  signal: AbortSignal,
): Promise<void> {
  const making: Making = { path: workDisk, sizeBytes: diskMiB * 1024 * 1024, runTool, signal };
  if (await exists(workDisk)) {
    const damaged = (why: BangerError) => note(damagedDisk(vmId, workDisk, why));
    return ensureGrown(making, growingMark, damaged);
  }
  const temporary = { ...making, path: temporaryName(workDisk) };
  const seed = await workSeeds(imageId, signal);
  if (seed === null) await makeEmpty(temporary);
  else await clone(temporary, seed);
  await publish(workDisk);
}

/** Told, and no ground not to start: the guest may still read it, and its owner is the one to say what may be lost. */
const damagedDisk = (vmId: VmId, path: string, why: BangerError): NewEvent =>
  event(vmStream(vmId), "vm.effect_failed", {
    effect: "ensureDisk",
    code: "work_disk_damaged",
    message: `the file system of /root did not grow because it is damaged: ${why.message}`,
    hint: `with the VM stopped: e2fsck -f -y ${path}; resize2fs ${path}`,
    retry: "never",
  });

/** e2fsprogs takes what follows a "?" in a name for options: its tools get the file's own name, in its directory. */
const diskTool = (path: string) => ({ cwd: dirname(path), writes: path, package: "e2fsprogs" });

async function makeEmpty({ path, sizeBytes, runTool, signal }: Making): Promise<void> {
  await makeHoles(path, sizeBytes);
  // The file is all holes, so what lazy initialisation would write is zero already: mke2fs touches a few blocks.
  const extended = "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0";
  const argv = ["-q", "-F", "-t", "ext4", "-m", "0", "-L", "banger-work", "-E", extended, basename(path)];
  await runTool({ ...diskTool(path), tool: "mke2fs", argv, signal });
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
    throw new BangerError("disk_too_small", `the image's /root needs more space: ${error.message}`, {
      hint: "give the VM a larger --disk-size",
      cause: error,
    });
  }
  if (size > sizeBytes) await truncate(path, sizeBytes);
}

/** Makes the file system as large as the disk is to be. */
async function fillDisk({ path, sizeBytes, runTool, signal }: Making): Promise<void> {
  await checkDisk({ path, sizeBytes, runTool, signal });
  const argv = [basename(path), `${sizeBytes / 1024}K`];
  await runTool({ ...diskTool(path), tool: "resize2fs", argv, signal });
}

/** Fixes what can be fixed without loss. Status 1 of e2fsck: it was fixed. @throws BangerError `tool_failed` for the rest */
async function checkDisk({ path, runTool, signal }: Making): Promise<void> {
  const argv = ["-f", "-p", basename(path)];
  await runTool({ ...diskTool(path), tool: "e2fsck", argv, signal, goodStatus: [0, 1] });
}

/**
 * Makes the disk and the file system on it at least that large. The mark tells, whatever happens meanwhile, that the
 * second may not have followed the first; a disk that holds something else than ext4, or a damaged one, gets the room
 * alone: it must not keep the VM from starting for ever.
 */
async function ensureGrown(
  making: Making,
  growingMark: string,
  damaged: (why: BangerError) => void,
): Promise<void> {
  const { path } = making;
  const { size } = await stat(path);
  const sizeBytes = Math.max(size, making.sizeBytes);
  if (size === sizeBytes && !(await exists(growingMark))) return;
  await publishContent(growingMark, "", 0o600);
  if (size < sizeBytes) await truncate(path, sizeBytes);
  const grown = { ...making, sizeBytes };
  if (await isExt(path)) {
    const damage = await checkDisk(grown).catch((error: unknown) => {
      if (error instanceof BangerError && error.code === "tool_failed") return error;
      throw error;
    });
    if (damage instanceof BangerError) damaged(damage);
    else await fillDisk(grown);
  }
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
