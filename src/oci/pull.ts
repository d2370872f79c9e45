/** Pulls an image: resolves its name, checks every byte, and leaves its layers in the cache of blobs. */
import { createHash } from "node:crypto";
import type { Proxies } from "../host/proxies.js";
import type { Clock } from "../lib/clock.js";
import { BangerError } from "../lib/errors.js";
import type { LayerProgress } from "../model/model.js";
import { BlobCache, blobPath, type FetchOptions, matchesDigest } from "./blobs.js";
import { httpClient, readAll } from "./http.js";
import type { Layer } from "./layers.js";
import {
  acceptedTypes,
  type Descriptor,
  type ImageConfig,
  type Manifest,
  readConfig,
  readManifest,
} from "./manifest.js";
import { formatReference, parseReference, type Reference } from "./reference.js";
import { Registry, type RegistryOption } from "./registry.js";
import { defaultDelaysMs, tryPlaces } from "./retry.js";

export interface PullOptions {
  cacheDirectory: string;
  /** `config.json` of docker or podman; no login without it. */
  authFile?: string | undefined;
  registries?: readonly RegistryOption[];
  /** For credential helpers. */
  environment: NodeJS.ProcessEnv;
  searchPath: string;
  clock: Clock;
  /** How registries are reached; directly when left out. */
  proxies?: Proxies;
  /** PEM of all CAs that TLS trusts (default: those that Node knows). */
  certificates?: string | undefined;
  signal: AbortSignal;
  /** Called often. */
  onProgress?: (progress: LayerProgress) => void;
  /** Pauses between rounds of retries. */
  delaysMs?: readonly number[];
  /** Packed bytes of all layers, at most. */
  maximumBytes?: number;
}

export interface PulledImage {
  reference: string;
  /** Of the manifest for this machine. */
  manifestDigest: string;
  config: ImageConfig;
  layers: Layer[];
}

const longestManifest = 4 << 20;
const layersAtOnce = 3;
/** An index may list indexes; a manifest is at most so many steps away. */
const deepestIndex = 4;
const defaultMaximumBytes = 64 * 2 ** 30;

interface Pull {
  reference: Reference;
  /** The reference in full, for messages. */
  name: string;
  registry: Registry;
  cache: BlobCache;
  fetching: FetchOptions;
}

/** A manifest or index by tag or digest; by digest the cache is asked first. */
async function fetchManifest(
  pull: Pull,
  what: string,
): Promise<{ bytes: Buffer; mediaType: string; digest: string }> {
  const { registry, cache, name } = pull;
  const known = what.includes(":") ? await cache.read(what, longestManifest) : undefined;
  if (known !== undefined) return { bytes: known, mediaType: "", digest: what };
  return tryPlaces(
    registry.places,
    async (place) => {
      const response = await registry.get(
        place,
        `manifests/${what}`,
        { accept: acceptedTypes },
        pull.fetching.signal,
      );
      const bytes = await readAll(response, longestManifest, `the manifest of ${name}`);
      const digest = what.includes(":") ? what : `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
      if (!matchesDigest(bytes, digest))
        throw new BangerError("blob_corrupt", `the manifest of ${name} is not what ${digest} names`);
      return { bytes, mediaType: response.header("content-type") ?? "", digest };
    },
    pull.fetching,
  );
}

/** Goes from the reference, over an index if there is one, to the manifest for this machine. */
async function resolveManifest(pull: Pull): Promise<{ manifest: Manifest; digest: string }> {
  const { reference, name } = pull;
  let wanted: Pick<Descriptor, "digest"> & Partial<Descriptor> = {
    digest: reference.digest ?? reference.tag,
  };
  for (let depth = 0; depth < deepestIndex; depth++) {
    const { bytes, mediaType, digest } = await fetchManifest(pull, wanted.digest);
    if (bytes.length !== (wanted.size ?? bytes.length))
      throw new BangerError("image_malformed", `the index of ${name} describes its manifest wrongly`);
    const read = readManifest(bytes, wanted.mediaType || mediaType, name);
    await pull.cache.put(digest, bytes, pull.fetching);
    if ("layers" in read) return { manifest: read, digest };
    wanted = read;
  }
  throw new BangerError("image_malformed", `the index of ${name} leads to no manifest`);
}

/** From the registry, and then from where the manifest says that what the registry may not hand on is to be had. */
function fetchBlob(pull: Pull, descriptor: Descriptor, fetching: FetchOptions): Promise<boolean> {
  const { registry, cache } = pull;
  const urls = descriptor.urls ?? [];
  const get = (place: number, headers: Record<string, string>) => {
    const url = urls[place - registry.places];
    return url === undefined
      ? registry.get(place, `blobs/${descriptor.digest}`, headers, fetching.signal)
      : registry.getElsewhere(url, headers, fetching.signal);
  };
  return cache.ensure(descriptor, { places: registry.places + urls.length, get }, fetching);
}

async function fetchConfig(pull: Pull, manifest: Manifest): Promise<ImageConfig> {
  if (manifest.config.size > longestManifest)
    throw new BangerError("image_malformed", `the configuration of ${pull.name} is too long`);
  // What the cache has may have rotted; then it is fetched again.
  let bytes = await pull.cache.read(manifest.config.digest, longestManifest);
  if (bytes === undefined) {
    await pull.cache.remove(manifest.config.digest);
    await fetchBlob(pull, manifest.config, pull.fetching);
    bytes = await pull.cache.read(manifest.config.digest, longestManifest);
  }
  if (bytes === undefined) throw new BangerError("blob_corrupt", `the configuration of ${pull.name} is torn`);
  return readConfig(bytes, manifest, pull.name);
}

/** All layers, some at once; the first failure ends the others. */
async function fetchLayers(
  pull: Pull,
  manifest: Manifest,
  onProgress: PullOptions["onProgress"],
): Promise<void> {
  const { layers } = manifest;
  const unique = [...new Map(layers.map((layer) => [layer.digest, layer])).values()];
  const imageBytes = unique.reduce((sum, { size }) => sum + size, 0);
  const count = unique.length;
  const numbered = unique.map((layer, index) => ({ layer, number: index + 1 }));
  const stop = new AbortController();
  const { signal } = stop;
  const follow = (): void => stop.abort(pull.fetching.signal.reason);
  pull.fetching.signal.addEventListener("abort", follow, { once: true });
  const one = async ({ layer, number }: { layer: Descriptor; number: number }): Promise<void> => {
    const report = (receivedBytes: number, state: LayerProgress["state"]): void =>
      onProgress?.({ number, count, receivedBytes, totalBytes: layer.size, imageBytes, state });
    const onBytes = (bytes: number): void => report(bytes, "downloading");
    const cached = await fetchBlob(pull, layer, { ...pull.fetching, signal, onBytes });
    report(layer.size, cached ? "cached" : "done");
  };
  const worker = async (): Promise<void> => {
    for (let next = numbered.shift(); next !== undefined; next = numbered.shift()) {
      signal.throwIfAborted();
      await one(next);
    }
  };
  const fail = (error: unknown): never => {
    stop.abort(error);
    throw error;
  };
  const results = await Promise.allSettled(Array.from({ length: layersAtOnce }, () => worker().catch(fail)));
  pull.fetching.signal.removeEventListener("abort", follow);
  pull.fetching.signal.throwIfAborted();
  if (results.some(({ status }) => status === "rejected")) throw stop.signal.reason;
}

function begin(text: string, options: PullOptions): Pull {
  const reference = parseReference(text);
  const { signal, cacheDirectory, searchPath } = options;
  const registry = new Registry(reference, {
    http: httpClient(options.clock, { proxies: options.proxies ?? {}, certificates: options.certificates }),
    credentials: { authFile: options.authFile, environment: options.environment },
    options: options.registries ?? [],
  });
  const fetching: FetchOptions = {
    delaysMs: options.delaysMs ?? defaultDelaysMs,
    signal,
    searchPath,
    onBytes: () => undefined,
  };
  return {
    reference,
    name: formatReference(reference),
    registry,
    cache: new BlobCache(cacheDirectory),
    fetching,
  };
}

/** The digest of the manifest for linux/amd64 that a name stands for now. @throws like `pullOci` */
export async function resolveOci(text: string, options: PullOptions): Promise<string> {
  return (await resolveManifest(begin(text, options))).digest;
}

/**
 * Brings the image's blobs for linux/amd64 into the cache.
 * @throws BangerError `reference_invalid`, `image_not_found`, `registry_…`, `blob_…`, `image_malformed`,
 * `image_unsupported`, `image_too_large`, `platform_missing`, `disk_full`, the signal's reason.
 */
export async function pullOci(text: string, options: PullOptions): Promise<PulledImage> {
  const pull = begin(text, options);
  const { manifest, digest } = await resolveManifest(pull);
  const packed = manifest.layers.reduce((sum, { size }) => sum + size, 0);
  const maximumBytes = options.maximumBytes ?? defaultMaximumBytes;
  if (packed > maximumBytes)
    throw new BangerError(
      "image_too_large",
      `${pull.name} has ${packed} bytes of layers, more than ${maximumBytes}`,
    );
  const config = await fetchConfig(pull, manifest);
  await fetchLayers(pull, manifest, options.onProgress);
  const layers = manifest.layers.map((layer, index) => ({
    digest: layer.digest,
    size: layer.size,
    path: blobPath(options.cacheDirectory, layer.digest),
    diffId: config.diffIds[index],
  }));
  return { reference: pull.name, manifestDigest: digest, config, layers };
}
