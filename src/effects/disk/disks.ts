/** What every disk driver makes and removes: the VM's directories, a sparse /root disk, the seed; and a root disk. */
import { mkdir, rename } from "node:fs/promises";
import { type Home, imageHandles, removedDirectory, type VmHandles, vmHandles } from "../../home/handles.js";
import { hostError } from "../../host/host-error.js";
import { exists, publishContent } from "../../host/publish.js";
import { removeTree } from "../../host/remove-tree.js";
import type { RunTool } from "../../host/run-tool.js";
import { forgetUse, noteUse } from "../../images/use.js";
import type { Clock } from "../../lib/clock.js";
import { BangerError } from "../../lib/errors.js";
import type { PerformContext } from "../../loop/world.js";
import { event, vmStream } from "../../model/events.js";
import type { Effect, VmId } from "../../model/model.js";
import { packSeed, seedFiles } from "../seed/archive.js";
import type { SshKeys } from "../seed/ssh-keys.js";
import type { ReadUserFiles } from "../seed/user-files.js";
import { ensureWorkDisk, type WorkSeeds } from "./work.js";

type EnsureDisk = Extract<Effect, { kind: "ensureDisk" }>;

export interface DiskDriver {
  /** Makes what is missing: the VM's two directories, root disk, work disk, host key, seed. */
  ensure(effect: EnsureDisk, context: PerformContext): Promise<void>;
  ensureNone(id: VmId): Promise<void>;
}

export interface DiskTools {
  runTool: RunTool;
  workSeeds: WorkSeeds;
  keys: SshKeys;
  userFiles: ReadUserFiles;
  clock: Clock;
}

/** The image's root file system, and how large the disk over it is to be at least; 0: as large as that. */
export interface RootOf {
  rootfs: string;
  rootMiB: number;
}

/** The form that a world's root disks have. */
export interface RootForm {
  path(handles: VmHandles): string;
  /** Makes the file from the image's root file system, unless it is there; and makes it grow, where it can do that. */
  make(handles: VmHandles, root: RootOf, tools: DiskTools, signal: AbortSignal): Promise<void>;
  /** Its size as the guest sees it, in bytes; undefined where it is always the image's. */
  bytes?(handles: VmHandles): number;
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
    await publishContent(seed, packSeed([...own, ...files], clock.now()), 0o600);
    // Once for each seed, however often it was tried.
    for (const { host, guest } of skipped)
      note(event(vmStream(effect.vmId), "vm.file_skipped", { host, guest: `/${guest}` }));
  }

  return {
    async ensure(effect, context) {
      const { signal, note } = context;
      const handles = vmHandles(home, effect.vmId);
      const { rootfs } = imageHandles(home, effect.imageId);
      try {
        await noteUse(home, effect.imageId, effect.vmId);
        if (!(await exists(rootfs)))
          throw new BangerError("image_missing", `image ${effect.imageId} has no root file system`, {
            hint: `banger image pull ${effect.imageId.replace(/-[0-9a-f]{8}$/, "")}`,
          });
        await mkdir(handles.directory, { recursive: true, mode: 0o700 });
        await mkdir(handles.runtime, { recursive: true, mode: 0o700 });
        const parts = await Promise.allSettled([
          root.make(handles, { rootfs, rootMiB: effect.rootMiB }, tools, signal),
          ensureWorkDisk(handles, effect, { ...tools, note }, signal),
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
        await removeTree(aside);
        if (await exists(directory)) await rename(directory, aside);
        await removeTree(aside);
        await forgetUse(home, id);
        await keys.refreshKnownHosts();
      } catch (error) {
        throw hostError(error, directory);
      }
    },
  };
}
