/** Pure: what an observation says of a VM or image of which it has no entry of its own. */
import type { ObservedImage, ObservedVm, Seen } from "./model.js";

const vmSeenAs = (seen: Exclude<Seen, { is: "present" }>): ObservedVm => ({
  directory: seen,
  rootDisk: seen,
  workDisk: seen,
  seed: seen,
  rootDevice: seen,
  bridge: seen,
  network: seen,
  policy: seen,
  runtime: seen,
  process: seen,
  agent: seen,
  forwards: seen,
  listeners: seen,
});

/** One whole look at the host found nothing of it. */
export const absentVm: ObservedVm = vmSeenAs({ is: "absent" });
export const absentImage: ObservedImage = { image: { is: "absent" }, partial: { is: "absent" } };

/** The look itself failed: nothing of it may be touched. */
export const unknownVm = (cause: string): ObservedVm => vmSeenAs({ is: "unknown", cause });
