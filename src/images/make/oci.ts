/** Makes an image of one from a registry: pulls its layers, adds what a machine needs, writes them as a root disk. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { systemClock } from "../../clock.js";
import type { ImageSource } from "../../model.js";
import { readGuestFiles } from "../catalog.js";
import { modulesTree, rootfsFile } from "../manifest.js";
import { type BootPlan, planBoot } from "../oci/boot-plan.js";
import { type RootfsOptions, writeRootfs } from "../oci/layers.js";
import type { ImageConfig } from "../oci/manifest.js";
import { type PullProgress, pullOci } from "../oci/pull.js";
import { formatReference, parseReference } from "../oci/reference.js";
import { type Made, sparingly, takeKernel, type Workshop } from "./workshop.js";

const firstBootScript = fileURLToPath(new URL("../../../../guest-agent/first-boot", import.meta.url));
/** What a guest can still write where the size is not given. */
const minimumFreeMiB = 4096;
const mb = (bytes: number): string => (bytes / 1e6).toFixed(bytes < 10e6 ? 1 : 0);

function downloadProgress(workshop: Workshop): (progress: PullProgress) => void {
  const tell = sparingly(workshop, "download");
  const layers = new Map<string, PullProgress>();
  return (progress) => {
    layers.set(progress.digest, progress);
    const all = [...layers.values()];
    const received = all.reduce((sum, { receivedBytes }) => sum + receivedBytes, 0);
    const whole = all.filter(({ state }) => state !== "downloading").length;
    const { imageBytes } = progress;
    tell(
      received,
      imageBytes,
      () => `${mb(received)} of ${mb(imageBytes)} MB, ${whole} of ${progress.layers} layers whole`,
    );
  };
}

function writeProgress(workshop: Workshop): NonNullable<RootfsOptions["onProgress"]> {
  const tell = sparingly(workshop, "write");
  return ({ packedBytes, totalBytes }) =>
    tell(packedBytes, totalBytes, () => `${mb(packedBytes)} of ${mb(totalBytes)} MB of layers`);
}

const origin = (
  { reference, digest }: { reference: string; digest: string },
  { config }: ImageConfig,
): NonNullable<Made["oci"]> => ({
  reference,
  digest,
  env: config?.Env ?? [],
  entrypoint: config?.Entrypoint ?? [],
  cmd: config?.Cmd ?? [],
  workingDirectory: config?.WorkingDir ?? "",
  user: config?.User ?? "",
});

export async function makeFromOci(
  workshop: Workshop,
  source: Extract<ImageSource, { kind: "oci" }>,
): Promise<Made> {
  const { job, signal, stage } = workshop;
  stage("resolve", source.reference);
  const pinned = formatReference({ ...parseReference(source.reference), digest: source.digest });
  const pulled = await pullOci(pinned, {
    ...job.registry,
    clock: systemClock,
    signal,
    onProgress: downloadProgress(workshop),
  });
  const kernel = await takeKernel(workshop);
  const modules = {
    digest: `sha256:${kernel.files[modulesTree]?.sha256}`,
    size: kernel.files[modulesTree]?.bytes ?? 0,
    path: `${job.need}/${modulesTree}`,
  };
  const files = {
    firstBoot: await readFile(firstBootScript),
    guestFiles: await readGuestFiles(),
  };
  let plan: BootPlan | undefined;
  await writeRootfs([...pulled.layers, modules], `${job.partial}/${rootfsFile}`, {
    extraEntries(view) {
      plan = planBoot(view, files);
      return plan.entries;
    },
    ...(source.sizeMiB === null ? { minimumFreeMiB } : { sizeMiB: source.sizeMiB }),
    seconds: Math.floor(workshop.now() / 1000),
    searchPath: job.searchPath,
    signal,
    onProgress: writeProgress(workshop),
  });
  return {
    kernelRelease: kernel.kernelRelease,
    bootArguments: [kernel.bootArguments, plan?.bootArguments].filter(Boolean).join(" "),
    oci: origin(source, pulled.config),
  };
}
