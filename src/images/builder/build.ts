/** Builds images for the daemon: starts the builder, passes its progress on, and leaves nothing half-built behind. */
import { rename } from "node:fs/promises";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import { type Home, imageHandles } from "../../home/handles.js";
import type { ProxyBook } from "../../host/proxies.js";
import { exists, flush } from "../../host/publish.js";
import type { Clock } from "../../lib/clock.js";
import { BangerError, type ErrorBody } from "../../lib/errors.js";
import { needOf } from "../../model/fits.js";
import type { ImageId, StageReached } from "../../model/model.js";
import { type BuildJob, type BuildReport, builderFile } from "../make/job.js";
import { type CatalogIds, filesOf, inspectImage, manifestFile, verifyFiles } from "../manifest.js";
import type { RegistryAccess } from "../registry-access.js";
import type { ImageMaker } from "../store.js";
import { type Builder, startBuilder } from "./link.js";
import { ensureNoPartial, observePartial } from "./process.js";

export interface ImageMakerOptions {
  home: Home;
  clock: Clock;
  /** URL of a Debian mirror; null for what the host's apt uses. */
  mirror: string | null;
  /** Where tools are looked up, as in PATH. */
  searchPath: string;
  registry: RegistryAccess;
  proxies: ProxyBook;
  catalog: CatalogIds;
  /**
   * Where systemd has builders that may make user namespaces, which packages are unpacked in; null where this
   * process may itself.
   */
  builderSocket: string | null;
}

/** Follows a builder to its end. @throws BangerError what it reported, or `image_build_failed`. */
async function follow(builder: Builder, stage: (reached: StageReached) => void): Promise<void> {
  const { ended, output } = builder;
  ended.catch(() => undefined);
  let done = false;
  let failure: BangerError | undefined;
  for await (const line of createInterface({ input: output })) {
    const report = JSON.parse(line) as BuildReport;
    if ("stage" in report) stage(report);
    else if ("pid" in report) builder.is(report.pid);
    else if ("error" in report) failure = BangerError.from(report.error);
    else done = true;
  }
  const how = await ended;
  if (failure !== undefined) throw failure;
  if (!done)
    throw new BangerError("image_build_failed", `the image builder exited with ${how}`, { retry: "later" });
}

/**
 * Gives a directory that lacks nothing but its name that name. Its builder takes its own record away just before it
 * does the same, so that nobody looks for the builder any more: whichever of the two comes first, it is one image.
 */
async function nameWhole(id: ImageId, partial: string, directory: string): Promise<void> {
  if (!(await exists(`${partial}/${manifestFile}`)) || (await exists(`${partial}/${builderFile}`))) return;
  try {
    verifyFiles(partial, filesOf(id));
    await rename(partial, directory);
    await flush(dirname(directory));
  } catch {
    // It is not whole after all, or the builder was faster.
  }
}

/** How often is looked whether another home's builder is through. */
const betweenLooksMs = 200;
const pauseOf = (clock: Clock, ms: number) => new Promise<void>((resolve) => void clock.after(ms, resolve));

/** Makes the images of one home. */
export function imageMaker(options: ImageMakerOptions): ImageMaker {
  const { home, clock, mirror, searchPath, builderSocket } = options;
  const inspect: ImageMaker["inspect"] = (id) =>
    inspectImage(imageHandles(home, id).directory, options.catalog);
  const removeScratch = (scratch: string) =>
    follow(startBuilder({ scratch }, searchPath, builderSocket), () => undefined);
  const removePartial: ImageMaker["removePartial"] = (id) =>
    ensureNoPartial(imageHandles(home, id).partial, home.state, removeScratch, clock);
  const lookAtPartial = (id: ImageId) => observePartial(imageHandles(home, id).partial, home.state);

  return {
    inspect,
    removePartial,
    lookAtPartial,
    async build({ imageId, name, source }, { signal, stage }) {
      const { directory, partial } = imageHandles(home, imageId);
      if (lookAtPartial(imageId).elsewhere) stage({ stage: "wait", detail: "another home is building it" });
      while (lookAtPartial(imageId).elsewhere) {
        signal.throwIfAborted();
        await pauseOf(clock, betweenLooksMs);
      }
      // A builder that outlived its daemon may have finished just now, or be about to.
      await nameWhole(imageId, partial, directory);
      await removePartial(imageId);
      const found = inspect(imageId);
      if (found.is === "present" && found.damage === null) return;
      signal.throwIfAborted();
      const proxies = options.proxies.of(imageId);
      const needed = needOf(source);
      const need = needed === null ? null : imageHandles(home, needed).directory;
      const { registry } = options;
      const wanted = { imageId, name, source, directory, partial, need, state: home.state };
      const job: BuildJob = { ...wanted, registry, mirror, searchPath, proxies };
      // What comes from elsewhere is taken apart here, where less is allowed than to those that unpack packages.
      const builder = startBuilder(job, searchPath, source.kind === "catalog" ? builderSocket : null);
      const abort = () => builder.stop();
      signal.addEventListener("abort", abort, { once: true });
      try {
        await follow(builder, stage);
      } catch (error) {
        await removePartial(imageId);
        throw signal.aborted ? signal.reason : error;
      } finally {
        signal.removeEventListener("abort", abort);
      }
    },
  };
}
