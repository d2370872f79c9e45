/** The guest behind a VM's name, once it answers. */
import { pauseText } from "../core/explain.js";
import type { AgentClient } from "../guest/agent.js";
import type { ErrorCode } from "../lib/error-codes.js";
import { BangerError } from "../lib/errors.js";
import type { PauseCause, Vm } from "../model/model.js";
import type { ApiDeps } from "./route.js";

const linkWaitMs = 10_000;
const pollMs = 50;

/** What of a guest does not answer: `code` is for a VM that runs. Of another one trying again helps only on its way. */
export function silent({ name, phase }: Vm, code: ErrorCode, detail: string): BangerError {
  const message = `${name} is ${phase}: ${detail}`;
  if (phase === "running")
    return new BangerError(code, message, { hint: `banger vm logs ${name}`, retry: "later" });
  if (phase === "starting") {
    return new BangerError("vm_not_running", message, { hint: `banger vm show ${name}`, retry: "later" });
  }
  return new BangerError("vm_not_running", message, { hint: `banger vm start ${name}` });
}

/** @throws BangerError `vm_paused` when the guest is paused: it could not answer. */
export function refusePaused({ ledger, home }: ApiDeps, { id, name }: Vm): void {
  const paused = ledger.state.vms[id]?.paused ?? null;
  if (paused === null) return;
  const hints: Partial<Record<PauseCause, string>> = {
    host_disk_full: `df -h ${home.state}; it resumes as soon as there is space`,
    stopped: `banger vm why ${name}; banger resumes it by itself`,
  };
  const hint = hints[paused.cause] ?? `banger vm restart ${name}`;
  throw new BangerError("vm_paused", `the guest of ${name} is paused: ${pauseText[paused.cause]}`, {
    ...{ hint, retry: "later" },
  });
}

/** The guest's client; after a daemon start its link may need a moment. */
export async function linked(deps: ApiDeps, vm: Vm, gone: AbortSignal): Promise<AgentClient> {
  for (let waited = 0; ; waited += pollMs) {
    const { phase, paused } = deps.ledger.state.vms[vm.id] ?? vm;
    // One that something stopped is about to be resumed.
    const resuming = paused?.cause === "stopped" && waited < linkWaitMs && !gone.aborted;
    if (!resuming) refusePaused(deps, vm);
    const client = resuming ? undefined : deps.world.clientOf(vm.id);
    if (client !== undefined) return client;
    if (phase !== "running" || waited >= linkWaitMs || gone.aborted)
      throw silent(
        deps.ledger.state.vms[vm.id] ?? vm,
        "agent_unreachable",
        "its guest agent does not answer",
      );
    await new Promise<void>((resolve) => deps.clock.after(pollMs, resolve));
  }
}
