/** What every disk driver makes and removes: the VM's directories, a sparse /root disk, the seed; and a root disk. */
import { mkdir, open, rename, rm, stat, truncate } from "node:fs/promises";
import type { Clock } from "../clock.js";
import { BangerError } from "../errors.js";
import { event, vmStream } from "../events.js";
import { type Home, imageHandles, removedDirectory, type VmHandles, vmHandles } from "../handles.js";
import type { Effect, VmId } from "../model.js";
import type { PerformContext } from "../world.js";
import { hostError } from "./host-error.js";
import { exists, publish, publishContent, temporaryName } from "./publish.js";
import type { RunTool } from "./run-tool.js";
import { packSeed, seedFiles } from "./seed.js";
import type { SshKeys } from "./ssh-keys.js";
import type { ReadUserFiles } from "./user-files.js";

type EnsureDisk = Extract<Effect, { kind: "ensureDisk" }>;

export interface DiskDriver {
  /** Makes what is missing: the VM's two directories, root disk, work disk, host key, seed. */
  ensure(effect: EnsureDisk, context: PerformContext): Promise<void>;
  ensureNone(id: VmId): Promise<void>;
}

export interface DiskTools {
  runTool: RunTool;
  keys: SshKeys;
  userFiles: ReadUserFiles;
  clock: Clock;
}

/** A file to be made at `path` by a tool. */
interface Making {
  path: string;
  tools: DiskTools;
  signal: AbortSignal;
}

async function ensureWorkDisk(making: Making, sizeMiB: number, growingMark: string): Promise<void> {
  const { path, tools, signal } = making;
  if (await exists(path)) return ensureGrown(making, sizeMiB, growingMark);
  const temporary = temporaryName(path);
  const file = await open(temporary, "w", 0o600);
  try {
    await file.truncate(sizeMiB * 1024 * 1024);
  } finally {
    await file.close();
  }
  // The file is all holes, so what lazy initialisation would write is zero already: mke2fs touches a few blocks.
  const extended = "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0";
  const argv = ["-q", "-F", "-t", "ext4", "-m", "0", "-L", "banger-work", "-E", extended, temporary];
  await tools.runTool({ tool: "mke2fs", argv, writes: path, package: "e2fsprogs", signal });
  await publish(path);
}

/**
 * Makes the disk and the file system on it at least that large. The mark tells, whatever happens meanwhile, that the
 * second may not have followed the first; a disk that holds something else than ext4 gets the room alone.
 */
async function ensureGrown(
  { path, tools, signal }: Making,
  sizeMiB: number,
  growingMark: string,
): Promise<void> {
  const { size } = await stat(path);
  const wanted = sizeMiB * 1024 * 1024;
  if (size >= wanted && !(await exists(growingMark))) return;
  await publishContent(growingMark, "", 0o600);
  if (size < wanted) await truncate(path, wanted);
  if (await isExt(path)) {
    const tool = { writes: path, package: "e2fsprogs", signal };
    // Status 1: it was mended, as after a guest that lost its power.
    await tools.runTool({ ...tool, tool: "e2fsck", argv: ["-f", "-p", path], goodStatus: [0, 1] });
    await tools.runTool({ ...tool, tool: "resize2fs", argv: [path] });
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

/** The form that a world's root disks have. */
export interface RootForm {
  path(handles: VmHandles): string;
  /** Makes the file from the image's root file system, unless it is there. */
  make(handles: VmHandles, rootfs: string, tools: DiskTools, signal: AbortSignal): Promise<void>;
}

/** The disk driver of one home. */
export function vmDisks(home: Home, tools: DiskTools, root: RootForm): DiskDriver {
  const { keys, clock } = tools;

  async function ensureSeed(effect: EnsureDisk, { signal, note }: PerformContext): Promise<void> {
    const { seed } = vmHandles(home, effect.vmId);
    const [authorizedKey, hostKeys] = await Promise.all([
      keys.ensureHomeKey(signal),
      keys.ensureHostKey(effect.vmId, `${effect.name}.vm`, signal),
    ]);
    await keys.refreshKnownHosts();
    if (await exists(seed)) return;
    const own = seedFiles({ hostName: effect.name, authorizedKey, ...hostKeys });
    const { files, skipped } = await tools.userFiles(signal);
    for (const { host, guest } of skipped)
      note(event(vmStream(effect.vmId), "vm.file_skipped", { host, guest: `/${guest}` }));
    await publishContent(seed, packSeed([...own, ...files], clock.now()), 0o600);
  }

  return {
    async ensure(effect, context) {
      const { signal } = context;
      const handles = vmHandles(home, effect.vmId);
      const { rootfs } = imageHandles(home, effect.imageId);
      try {
        if (!(await exists(rootfs)))
          throw new BangerError("image_missing", `image ${effect.imageId} has no root file system`, {
            hint: `banger image pull ${effect.imageId.replace(/-[0-9a-f]{8}$/, "")}`,
          });
        await mkdir(handles.directory, { recursive: true, mode: 0o700 });
        await mkdir(handles.runtime, { recursive: true, mode: 0o700 });
        const parts = await Promise.allSettled([
          root.make(handles, rootfs, tools, signal),
          ensureWorkDisk({ path: handles.workDisk, tools, signal }, effect.diskMiB, handles.growingMark),
          ensureSeed(effect, context),
        ]);
        for (const part of parts) if (part.status === "rejected") throw part.reason;
      } catch (error) {
        throw hostError(error, handles.directory);
      }
    },
    async ensureNone(id) {
      const { directory } = vmHandles(home, id);
      const aside = removedDirectory(home, id);
      try {
        // What a crash left aside goes first: rename does not replace a directory that holds something.
        await rm(aside, { recursive: true, force: true });
        if (await exists(directory)) await rename(directory, aside);
        await rm(aside, { recursive: true, force: true });
        await keys.refreshKnownHosts();
      } catch (error) {
        throw hostError(error, directory);
      }
    },
  };
}
