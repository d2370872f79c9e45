/** What a look shows of a VM's network process. */
import type { ObservedVm, VmId } from "../../model/model.js";
import type { ProcessScan } from "../vmm/processes.js";
import type { NetworkControls } from "./controls.js";

const present = { is: "present" } as const;
const absent = { is: "absent" } as const;

/** What the scan says of a VM's network process, and what that has said itself. */
export function lookAtNetwork(
  id: VmId,
  scan: ProcessScan,
  controls: NetworkControls,
  resolvers: string,
): Pick<ObservedVm, "network" | "policy" | "forwards"> {
  const found = scan.networks.get(id);
  const control = controls.get(id);
  if (found?.frozen) {
    const cause = { is: "unknown", cause: "the network process was stopped by a signal" } as const;
    return { network: { ...present, whole: false }, policy: cause, forwards: cause };
  }
  if (found !== undefined && control !== undefined) return control.seen(resolvers);
  const nothing = found === undefined && scan.unreadable === undefined;
  const seen = nothing ? absent : ({ is: "unknown", cause: scan.unreadable ?? "just found" } as const);
  return { network: seen, policy: seen, forwards: seen };
}
