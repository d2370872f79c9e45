/** Pure: whether what was seen of a VM or an image is enough for its next step. */
import { growthOf } from "./disk-growth.js";
import type { Capabilities, ImageId, ImageSource, ObservedVm, Part, Vm } from "./model.js";
import { netKey } from "./net-policy.js";

/** The one policy of a host that knows no others but none. */
export const openKey = "open";

/** Everything that a start needs of disks is there, as large as it is wanted. */
export const disksFit = (vm: Vm, seen: ObservedVm): boolean =>
  seen.seed.is === "present" && isWhole(seen.runtime) && growthOf(vm, seen) === "no";

const isWhole = (part: Part): boolean => part.is === "present" && part.whole;

/** The VMM finds a root disk that it can open. */
export const rootFits = ({ rootDevice }: ObservedVm, capabilities: Capabilities): boolean =>
  !capabilities.rootDevice || isWhole(rootDevice);

/** The key of the policy that a VM is to have; null where its guest is to reach nothing. */
function wantedPolicy({ spec }: Vm, { netPolicies }: Capabilities): string | null {
  if (spec.net.mode === "none") return null;
  return netPolicies ? netKey(spec.net) : openKey;
}

/** Whether the policy is the one that is wanted; undefined where nobody knows. */
export function policyFits(vm: Vm, { policy }: ObservedVm, capabilities: Capabilities): boolean | undefined {
  if (policy.is === "unknown") return undefined;
  const wanted = wantedPolicy(vm, capabilities);
  return policy.is === "absent" ? wanted === null : policy.key === wanted && policy.fresh;
}

/** The host's side of the guest's network is there, with the bridge that it is on, and lets through what the spec says. */
export function networkFits(vm: Vm, seen: ObservedVm, capabilities: Capabilities): boolean {
  const attached = !capabilities.bridgeNetworking || seen.bridge.is === "present";
  return attached && isWhole(seen.network) && policyFits(vm, seen, capabilities) === true;
}

/** The image that must be ready before this one can be made. */
export function needOf(source: ImageSource): ImageId | null {
  if (source.kind === "copy") return source.imageId;
  return source.kind === "oci" || source.kind === "files" ? source.kernelId : null;
}
