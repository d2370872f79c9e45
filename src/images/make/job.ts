/** A job of the image builder: what it is told, what it reports, and the record that it leaves. */
import { bootId, identify } from "../../host/processes.js";
import type { Proxies } from "../../host/proxies.js";
import { BangerError, type ErrorBody } from "../../lib/errors.js";
import type { ImageId, ImageSource, ProcessIdentity, StageReached } from "../../model/model.js";
import type { RegistryAccess } from "../registry-access.js";

export interface BuildJob {
  imageId: ImageId;
  name: string;
  source: ImageSource;
  directory: string;
  partial: string;
  /** Directory of the image or kernel that it is made with. */
  need: string | null;
  registry: RegistryAccess;
  /** URL of a Debian mirror; null for what the host's apt uses. */
  mirror: string | null;
  searchPath: string;
  proxies: Proxies;
  /** State directory of the home. */
  state: string;
}

/** The other job of a builder: to remove what users of its namespace have left. */
export interface CleaningJob {
  scratch: string;
}

/** The first report says who it is. */
export type BuildReport = { pid: number } | StageReached | { done: true } | { error: ErrorBody };

/** Lies in a half-built image and says who builds it. */
export const builderFile = "builder.json";

/** Identity of the builder and the boot in which it holds: after another, the numbers mean somebody else. */
export type Builder = ProcessIdentity & {
  bootId: string;
  /** State directory of the home that has it built: several homes may share their images. */
  state?: string;
  /** Directory outside of the image that goes with the build. */
  scratch?: string;
};

export const isScratch = (path: string): boolean => /^\/var\/tmp\/banger-build-\w+$/.test(path);

/** What the calling process, the builder, leaves in the image so that it can be found. */
export function builderRecord(state: string, scratch?: string): string {
  const seen = identify(process.pid);
  if (seen.is !== "present") throw new BangerError("host_failed", "/proc does not show this process");
  const { pid, startTime } = seen;
  return JSON.stringify({
    pid,
    startTime,
    bootId: bootId(),
    state,
    ...(scratch === undefined ? {} : { scratch }),
  });
}
