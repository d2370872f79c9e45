/** Every kind of VMM, the best first. A new one is a folder beside theirs, and a line here. */
import type { VmmDriverOptions } from "../effects/vmm/driver.js";
import { firecracker } from "../effects/vmm/firecracker/firecracker.js";
import { qemu } from "../effects/vmm/qemu/qemu.js";
import type { VmmFacts, VmmHost, VmmKind } from "../effects/vmm/vmm.js";
import { BangerError } from "../lib/errors.js";

const vmmKinds: readonly VmmKind[] = [firecracker, qemu];

/**
 * What runs VMs that are started from now on. Without `facts` it is for user mode.
 * @throws BangerError `vmm_unusable` for a VMM that the mode does not have
 */
export function chooseVmm(
  wanted: string,
  facts: VmmFacts | undefined,
  kinds: readonly VmmKind[] = vmmKinds,
): VmmKind {
  const mode = facts === undefined ? "user" : "system";
  const here = kinds.filter(({ modes }) => modes.includes(mode));
  const chosen =
    wanted === "auto"
      ? here.find((each) => facts === undefined || each.usable(facts))
      : here.find(({ kind }) => kind === wanted);
  if (chosen !== undefined) return chosen;
  const { title = wanted, modes = [] } = kinds.find(({ kind }) => kind === wanted) ?? {};
  const where = modes.length === 0 ? "nowhere" : `in ${modes.join(" and ")} mode only`;
  throw new BangerError("vmm_unusable", `${title} runs VMs ${where}`, {
    hint: 'sudo banger system install, or set vmm = "auto" in config.toml',
  });
}

/** Every kind made, since VMs of an earlier choice may still run, and the chosen one of them. */
export function makeVmms(
  host: VmmHost,
  chosen: VmmKind,
  kinds: readonly VmmKind[] = vmmKinds,
): Pick<VmmDriverOptions, "vmms" | "starts"> {
  const starts = chosen.make(host);
  return { starts, vmms: kinds.map((each) => (each === chosen ? starts : each.make(host))) };
}
