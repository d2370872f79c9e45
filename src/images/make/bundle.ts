/** Makes an image of a bundle that somebody has made already: one archive of its files, known by its digest. */
import { lstat, rm } from "node:fs/promises";
import { hostCertificates } from "../../host/host-certificates.js";
import { systemClock } from "../../lib/clock.js";
import { BangerError } from "../../lib/errors.js";
import { BlobCache } from "../../oci/blobs.js";
import { httpClient } from "../../oci/http.js";
import { defaultDelaysMs } from "../../oci/retry.js";
import type { Bundle } from "../catalog-schema.js";
import { filesOf, manifestFile, ownSeed, readManifest, verifyFiles } from "../manifest.js";
import { type BuildContext, type BuildResult, throttle } from "./build-context.js";

const unpackDeadlineMs = 30 * 60_000;

/** Brings the archive into the cache of blobs, whole and checked; a broken download is resumed. */
async function fetchBundle(build: BuildContext, { url, sha256, bytes }: Bundle): Promise<string> {
  const { job, signal, stage } = build;
  const cache = new BlobCache(job.registry.cacheDirectory);
  const http = httpClient(systemClock, { proxies: job.proxies, certificates: hostCertificates() });
  const isDue = throttle(build);
  const megabytes = (count: number) => (count / 1e6).toFixed(0);
  const digest = `sha256:${sha256}`;
  await cache.ensure(
    { mediaType: "", digest, size: bytes },
    {
      places: 1,
      async get(_place, headers) {
        const response = await http({ url: new URL(url), headers, signal });
        if ([200, 206, 416].includes(response.status)) return response;
        response.close();
        throw new BangerError("bundle_unreachable", `${url} answers ${response.status}`, {
          hint: `curl -I ${url}`,
          retry: response.status >= 500 ? "later" : "never",
        });
      },
    },
    {
      delaysMs: defaultDelaysMs,
      signal,
      searchPath: job.searchPath,
      onBytes(count) {
        if (isDue(count, bytes)) stage("download", `${megabytes(count)} of ${megabytes(bytes)} MB`);
      },
    },
  );
  return cache.path(digest);
}

export async function makeFromBundle(build: BuildContext, bundle: Bundle): Promise<BuildResult> {
  const { job, runTool, signal, stage } = build;
  stage("download", bundle.url);
  const archive = await fetchBundle(build, bundle);
  stage("unpack", "files of the image");
  const options = ["--use-compress-program=zstd", "--sparse", "--no-same-owner", "--no-same-permissions"];
  const unpack = async (...names: string[]): Promise<void> => {
    await runTool({
      tool: "tar",
      argv: ["-x", "-f", archive, "-C", job.partial, ...options, ...names],
      writes: job.partial,
      package: "tar zstd",
      signal,
      deadlineMs: unpackDeadlineMs,
    });
    for (const name of names) {
      if ((await lstat(`${job.partial}/${name}`)).isFile()) continue;
      throw new BangerError("bundle_invalid", `${name} of ${bundle.url} is not a file`);
    }
  };
  await unpack(manifestFile);
  await unpack(...filesOf(job.imageId), ...ownSeed(readManifest(job.partial)));
  const { kernelRelease, bootArguments, suite, oci } = verifyFiles(job.partial, filesOf(job.imageId));
  await rm(`${job.partial}/${manifestFile}`);
  return { kernelRelease, bootArguments, ...(suite && { suite }), ...(oci && { oci }) };
}
