/** Growth of the disks of a VM that runs: its VMM gives the room, and the guest's own resize2fs fills it. */
import { unlinkSync } from "node:fs";
import { stat } from "node:fs/promises";
import { atStartMark, type Home, vmHandles } from "../../home/handles.js";
import { hostError } from "../../host/host-error.js";
import { exists, publishContent } from "../../host/publish.js";
import { orAborted } from "../../host/wait.js";
import { BangerError } from "../../lib/errors.js";
import type { DiskSizes, VmId } from "../../model/model.js";
import type { AgentLinks, GuestAgent } from "../agent/links.js";
import type { VmmControls } from "../vmm/controls.js";
import type { DiskName } from "../vmm/vmm.js";
import type { RootForm } from "./disks.js";

/** How the agent reports that there is no shell either. */
const noShell = new Set(["exec_not_found", "exec_not_executable"]);
/** Told by the script: the guest's kernel has not seen the new size yet. */
const unseenStatus = 75;

/**
 * Without resize2fs it ends with 127. $1 is the disk's size in sectors, which reaches the guest's kernel some time after
 * the VMM has it; $2 the disk's device name or its serial.
 */
const growScript = `
PATH=$PATH:/usr/sbin:/sbin
command -v resize2fs >/dev/null || exit 127
for disk in /sys/block/*; do
  [ "\${disk##*/}" = "$2" ] || [ "$(cat "$disk/serial" 2>/dev/null)" = "$2" ] || continue
  for turn in 1 2 3 4 5; do
    [ "$(cat "$disk/size")" -lt "$1" ] || exec resize2fs "/dev/\${disk##*/}"
    sleep 1
  done
  exit ${unseenStatus}
done
exit 127
`;

export interface OnlineGrowth {
  /** @throws BangerError `vm_not_running` or `agent_unreachable`, before anything is changed. */
  ensure(id: VmId, sizes: DiskSizes, signal: AbortSignal): Promise<void>;
}

/** Whether the file system has grown; false where this guest cannot do that. @throws BangerError */
async function growInGuest(
  client: GuestAgent,
  disk: string,
  sizeBytes: number,
  signal: AbortSignal,
): Promise<boolean> {
  const argv = ["/bin/sh", "-c", growScript, "grow", String(sizeBytes / 512), disk];
  const status = await orAborted(client.run(argv, signal), signal).catch((error: unknown) => {
    if (error instanceof BangerError && noShell.has(error.code)) return 127;
    throw error;
  });
  if (status !== unseenStatus) return status === 0;
  throw new BangerError("growth_unseen", "the guest does not notice that its disk has grown", {
    retry: "later",
  });
}

/** One of a VM's disks that is to grow. */
interface Growth {
  disk: DiskName;
  mark: string;
  before: number;
  wantedMiB: number;
}

/** The growth of running VMs of one home. The marks are set and taken away as `ensureDisk` does it. */
export function onlineGrowth(
  { home, root }: { home: Home; root: RootForm },
  controls: VmmControls,
  links: AgentLinks<GuestAgent>,
): OnlineGrowth {
  async function growthsOf(id: VmId, { diskMiB, rootMiB }: DiskSizes): Promise<Growth[]> {
    const handles = vmHandles(home, id);
    const { workDisk, growingMark, rootGrowingMark } = handles;
    const before = (await stat(workDisk)).size;
    const work: Growth = { disk: "work", mark: growingMark, before, wantedMiB: diskMiB };
    if (root.bytes === undefined) return [work];
    const bytes = root.bytes(handles);
    return [work, { disk: "root", mark: rootGrowingMark, before: bytes, wantedMiB: rootMiB }];
  }

  async function grow(
    id: VmId,
    { disk, mark, before, wantedMiB }: Growth,
    signal: AbortSignal,
  ): Promise<void> {
    const control = controls.require(id);
    const client = links.clientOf(id);
    if (client === undefined)
      throw new BangerError("agent_unreachable", "the guest's agent does not answer", { retry: "later" });
    const sizeBytes = Math.max(before, wantedMiB * 2 ** 20);
    if (before === sizeBytes && !(await exists(mark))) return;
    await publishContent(mark, "", 0o600);
    signal.throwIfAborted();
    await orAborted(control.resize(disk, sizeBytes), signal);
    const grown = await growInGuest(client, control.disks[disk], sizeBytes, signal);
    // Whoever takes up an effect that was aborted sets the mark again: it must not go after that.
    signal.throwIfAborted();
    if (grown) unlinkSync(mark);
    else await publishContent(mark, atStartMark, 0o600);
  }

  return {
    async ensure(id, sizes, signal) {
      try {
        controls.require(id);
        for (const growth of await growthsOf(id, sizes)) await grow(id, growth, signal);
      } catch (error) {
        throw hostError(error, vmHandles(home, id).directory);
      }
    },
  };
}
