/** Makes an image of one from a registry: pulls its layers, adds what a machine needs, writes them as a root disk. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { hostCertificates } from "../../host/host-certificates.js";
import { systemClock } from "../../lib/clock.js";
import { formatMegabytes } from "../../lib/sizes.js";
import type { ImageSource, LayerProgress } from "../../model/model.js";
import { type BootPlan, planBoot } from "../../oci/boot-plan.js";
import { type RootfsOptions, writeRootfs } from "../../oci/layers.js";
import type { ImageConfig } from "../../oci/manifest.js";
import { pullOci } from "../../oci/pull.js";
import { formatReference, parseReference } from "../../oci/reference.js";
import { readGuestFiles } from "../catalog.js";
import { modulesTree, rootfsFile } from "../manifest.js";
import { type BuildContext, type BuildResult, takeKernel, throttle } from "./build-context.js";

const firstBootScript = fileURLToPath(new URL("../../../../guest-agent/first-boot", import.meta.url));
/** What a guest can still write where the size is not given. */
const minimumFreeMiB = 4096;

/** So many steps all layers of an image have together, about; each has some. */
const layerSteps = { image: 200, atLeast: 2, atMost: 20 };

/** Tells of each layer: its beginning, some steps of its way, and its end. */
export function layerProgress(build: BuildContext): (progress: LayerProgress) => void {
  const dues = new Map<number, ReturnType<typeof throttle>>();
  return (progress) => {
    const { number, count, receivedBytes, totalBytes, state } = progress;
    const { image, atLeast, atMost } = layerSteps;
    const steps = Math.min(atMost, Math.max(atLeast, Math.floor(image / count)));
    const isDue = dues.get(number) ?? throttle(build, steps);
    dues.set(number, isDue);
    if (state === "downloading" && !isDue(receivedBytes, totalBytes)) return;
    const far =
      state === "downloading"
        ? `${formatMegabytes(receivedBytes)} of ${formatMegabytes(totalBytes)} MB`
        : `${formatMegabytes(totalBytes)} MB`;
    const here = state === "cached" ? ", already present" : "";
    build.stage("download", `layer ${number} of ${count}, ${far}${here}`, progress);
  };
}

function writeProgress(build: BuildContext): NonNullable<RootfsOptions["onProgress"]> {
  const isDue = throttle(build);
  return ({ packedBytes, totalBytes }) => {
    if (isDue(packedBytes, totalBytes))
      build.stage("write", `${formatMegabytes(packedBytes)} of ${formatMegabytes(totalBytes)} MB of layers`);
  };
}

const origin = (
  { reference, digest }: { reference: string; digest: string },
  { env, entrypoint, cmd, workingDirectory, user }: ImageConfig,
): NonNullable<BuildResult["oci"]> => ({ reference, digest, env, entrypoint, cmd, workingDirectory, user });

export async function makeFromOci(
  build: BuildContext,
  source: Extract<ImageSource, { kind: "oci" }>,
): Promise<BuildResult> {
  const { job, signal, stage } = build;
  stage("resolve", source.reference);
  const pinned = formatReference({ ...parseReference(source.reference), digest: source.digest });
  const pulled = await pullOci(pinned, {
    ...job.registry,
    clock: systemClock,
    proxies: job.proxies,
    certificates: hostCertificates(),
    signal,
    onProgress: layerProgress(build),
  });
  const kernel = await takeKernel(build);
  const modules = {
    digest: `sha256:${kernel.files[modulesTree]?.sha256}`,
    size: kernel.files[modulesTree]?.bytes ?? 0,
    path: `${job.need}/${modulesTree}`,
  };
  const files = {
    firstBoot: await readFile(firstBootScript),
    guestFiles: await readGuestFiles(),
    workingDirectory: pulled.config.workingDirectory,
  };
  let plan: BootPlan | undefined;
  await writeRootfs([...pulled.layers, modules], `${job.partial}/${rootfsFile}`, {
    extraEntries(view) {
      plan = planBoot(view, files);
      return plan.entries;
    },
    ...(source.sizeMiB === null ? { minimumFreeMiB } : { sizeMiB: source.sizeMiB }),
    seconds: Math.floor(build.now() / 1000),
    searchPath: job.searchPath,
    signal,
    onProgress: writeProgress(build),
  });
  return {
    kernelRelease: kernel.kernelRelease,
    bootArguments: [kernel.bootArguments, plan?.bootArguments].filter(Boolean).join(" "),
    oci: origin(source, pulled.config),
  };
}
