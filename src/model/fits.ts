/** Pure: whether what was seen of a VM or an image is enough for its next step. */
import { growthOf } from "./disk-growth.js";
import type { Capabilities, ImageId, ImageSource, ObservedVm, Part, Vm } from "./model.js";

/** Everything that a start needs of disks is there, as large as it is wanted. */
export const disksFit = (vm: Vm, seen: ObservedVm): boolean =>
  seen.seed.is === "present" && isWhole(seen.runtime) && growthOf(vm, seen) === "no";

const isWhole = (part: Part): boolean => part.is === "present" && part.whole;

/** The VMM finds a root disk that it can open. */
export const rootFits = ({ rootDevice }: ObservedVm, capabilities: Capabilities): boolean =>
  !capabilities.rootDevice || isWhole(rootDevice);

/** The guest's network interface is there, with the bridge that it is on, and NAT as the spec says. */
export function networkFits({ spec }: Vm, seen: ObservedVm, capabilities: Capabilities): boolean {
  if (capabilities.userNetworking) return true;
  const { bridge, tap, nat } = seen;
  const attached = capabilities.bridgeNetworking && bridge.is === "present" && isWhole(tap);
  return attached && nat.is === (spec.nat ? "present" : "absent");
}

/** The image that must be ready before this one can be made. */
export function needOf(source: ImageSource): ImageId | null {
  if (source.kind === "copy") return source.imageId;
  return source.kind === "oci" || source.kind === "files" ? source.kernelId : null;
}
