/** Routes of VMs that the log does not know: nothing touches them until somebody says so. */
import { existsSync } from "node:fs";
import type { UnknownVm } from "../contract/unknown.js";
import { vmHandles } from "../home/handles.js";
import { deadline } from "../lib/deadline.js";
import { BangerError } from "../lib/errors.js";
import { deadlinesMs } from "../loop/deadlines.js";
import type { ProcessIdentity } from "../model/model.js";
import type { ApiDeps, Handle } from "./route.js";

type Found = UnknownVm & { process: ProcessIdentity };

/** `unreadable`: why there may be more of them. */
function look({ ledger, world, home }: ApiDeps): { found: Found[]; unreadable: string | undefined } {
  const { vms } = ledger.state;
  const { byVm, unreadable } = world.vmms();
  const found = [...byVm].flatMap(([id, process]) => {
    if (vms[id] !== undefined) return [];
    const { directory } = vmHandles(home, id);
    return [{ id, pid: process.pid, directory: existsSync(directory) ? directory : null, process }];
  });
  return { found, unreadable };
}

const viewOf = ({ id, pid, directory }: Found): UnknownVm => ({ id, pid, directory });

/** Ends the VMM; the log has no such VM, so this is not a fact for it. */
async function kill({ clock, world, warn }: ApiDeps, found: Found): Promise<void> {
  const late = () =>
    new BangerError("process_stuck", `process ${found.pid} does not exit`, { retry: "later" });
  const bound = deadline(clock, deadlinesMs.ensureNoProcess, late);
  try {
    const { id: vmId, process } = found;
    await world.perform(
      { kind: "ensureNoProcess", vmId, process },
      { signal: bound.signal, note: () => undefined },
    );
    warn("a VM that the log does not know was ended, as asked", { ...viewOf(found) });
  } finally {
    bound.release();
  }
}

export function unknownVmRoutes(handle: Handle, deps: ApiDeps): void {
  handle("unknownVmList", (): UnknownVm[] => {
    const { found, unreadable } = look(deps);
    if (unreadable === undefined) return found.map(viewOf);
    throw new BangerError("host_failed", `/proc cannot be read: ${unreadable}`, { retry: "later" });
  });
  handle("unknownVmKill", async ({ params }): Promise<UnknownVm> => {
    const ref = params["ref"] ?? "";
    const found = look(deps).found.find(({ id }) => id === ref);
    if (found === undefined) {
      throw new BangerError("vm_not_found", `no VM that the log does not know runs as "${ref}"`, {
        hint: "banger vm list --unknown",
      });
    }
    await kill(deps, found);
    return viewOf(found);
  });
}
