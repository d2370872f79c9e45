/** From what a client asks for to what is to be made: ids, sources, and the kernel that an image needs. */
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { open, readdir, realpath, stat } from "node:fs/promises";
import { type PullCommand } from "../core/decide.js";
import { findKernel } from "../core/refs.js";
import { imageIdFrom, isKernelId, kernelIdFrom } from "../home/handles.js";
import { hostCertificates } from "../host/host-certificates.js";
import type { Proxies, ProxyBook } from "../host/proxies.js";
import type { Clock } from "../lib/clock.js";
import { BangerError } from "../lib/errors.js";
import { shellQuote } from "../lib/shell.js";
import { suggest } from "../lib/suggest.js";
import { needOf } from "../model/fits.js";
import type { Image, ImageSource, State } from "../model/model.js";
import { type PullOptions, resolveOci } from "../oci/pull.js";
import { formatReference, parseReference } from "../oci/reference.js";
import { readCatalog, resolveImage, resolveKernel } from "./catalog.js";
import type { RegistryAccess } from "./registry-access.js";

type PullRequested = Omit<PullCommand, "kind">;

/** What `image pull` is asked for: a name of the catalog, or a reference to an image in a registry. */
export interface PullRequest {
  ref: string;
  name?: string;
  kernel?: string;
  sizeMiB?: number;
  /** Of the client's shell; undefined where it does not say. */
  proxies?: Proxies;
}

/** What `image register` is asked for; paths are absolute. */
export interface RegisterRequest {
  name: string;
  rootfs: string;
  kernel?: string;
  kernelRef?: string;
  initrd?: string;
  modules?: string;
  workSeed?: string;
  proxies?: Proxies;
}

/** The kernel of images that do not say which. */
const defaultKernel = "debian-cloud";

const isReference = (ref: string): boolean => /[/:@]/.test(ref);

/** What skopeo and podman write before a place that is not a registry. */
const elsewhere = /^(docker-archive|docker-daemon|oci-archive|containers-storage):/;

/** @throws BangerError `reference_invalid` for images that lie elsewhere than in a registry */
function withoutTransport(ref: string): string {
  if (ref.startsWith("docker://")) return ref.slice("docker://".length);
  if (!elsewhere.test(ref)) return ref;
  throw new BangerError("reference_invalid", `${ref} is not a registry reference`, {
    hint: `skopeo copy ${shellQuote(ref)} docker://localhost:5000/NAME, to a registry of your own`,
  });
}

/** A reference in full; any other name of an image as it is. @throws BangerError `reference_invalid` */
export const fullReference = (ref: string): string =>
  isReference(ref) ? formatReference(parseReference(withoutTransport(ref))) : ref;

/** The repository's last part, as a name. */
const nameOf = (reference: string): string =>
  (parseReference(withoutTransport(reference)).repository.split("/").at(-1) ?? "").replace(
    /[^a-z0-9.-]+/g,
    "-",
  );

function checkName(name: string): string {
  if (/^[a-z0-9][a-z0-9.-]{0,63}$/.test(name) && !isKernelId(name)) return name;
  throw new BangerError("name_invalid", `"${name}" cannot be the name of an image`, {
    hint: "--name NAME, lowercase letters, digits, dots and dashes, not starting with kernel-",
  });
}

const hashOf = (value: unknown): string => createHash("sha256").update(JSON.stringify(value)).digest("hex");

/** What tells one version of a file from the next. @throws BangerError `file_unusable` */
async function marks(path: string): Promise<{ path: string; mark: unknown[] }> {
  try {
    const real = await realpath(path);
    const { size, mtimeMs } = await stat(real);
    return { path: real, mark: [real, size, mtimeMs] };
  } catch (cause) {
    throw new BangerError("file_unusable", `${path}: ${(cause as Error).message}`, {
      hint: `ls -l ${path}`,
      cause,
    });
  }
}

const superblockMagic = { at: 1024 + 0x38, bytes: Buffer.from([0x53, 0xef]) };

/** @throws BangerError `file_unusable` for a file that is no ext4 file system, before anything is made of it */
async function checkExt4(path: string): Promise<void> {
  const found = Buffer.alloc(superblockMagic.bytes.length);
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    await file.read(found, 0, found.length, superblockMagic.at).finally(() => file.close());
  } catch (cause) {
    throw new BangerError("file_unusable", `${path}: ${(cause as Error).message}`, {
      hint: `ls -l ${shellQuote(path)}`,
      cause,
    });
  }
  if (found.equals(superblockMagic.bytes)) return;
  throw new BangerError("file_unusable", `${path} is not an ext4 file system`, {
    hint: `file ${shellQuote(path)}; to make one from a directory: mke2fs -t ext4 -d TREE FILE 4G`,
  });
}

/** What an image that is known was made from, and with. */
function again(state: State, { id, name, source }: Image): PullRequested {
  const need = state.images[needOf(source) ?? ""];
  return { imageId: id, name, source, ...(need && { need: again(state, need) }) };
}

/** The kernel of that name or id: one that is here, else the catalog's. */
async function kernelNamed(state: State, ref: string): Promise<PullRequested> {
  const here = findKernel(state, ref);
  if (here !== undefined && (here.phase === "ready" || here.source.kind !== "catalog"))
    return again(state, here);
  return kernelOfCatalog(here?.name ?? ref);
}

async function kernelOfCatalog(name: string): Promise<PullRequested> {
  const { imageId } = await resolveKernel(name);
  return { imageId, name, source: { kind: "catalog" } };
}

async function kernelOfDirectory(name: string, path: string): Promise<PullRequested> {
  checkName(name);
  const { path: real, mark } = await marks(path);
  const entries = await readdir(real).catch((cause: Error) => {
    throw new BangerError("file_unusable", `${path}: ${cause.message}`, { hint: `ls -ld ${path}`, cause });
  });
  const content = await Promise.all(
    entries.sort().map(async (each) => (await marks(`${real}/${each}`)).mark),
  );
  const source: ImageSource = { kind: "directory", path: real };
  return { imageId: kernelIdFrom(name, hashOf([mark, content])), name, source };
}

export interface ImageResolver {
  /** @throws BangerError `image_unknown`, `kernel_unknown`, `name_invalid`, and what the registry says */
  pull(state: State, request: PullRequest, signal: AbortSignal): Promise<PullRequested>;
  /** @throws BangerError `file_unusable`, `name_invalid`, `kernel_unknown` */
  register(state: State, request: RegisterRequest): Promise<PullRequested>;
  /** @throws BangerError `image_managed` */
  promote(image: Image): PullRequested;
  /** A kernel by name or id, of which the catalog may have another than is here. @throws BangerError `kernel_unknown` */
  kernel(state: State, ref: string, proxies?: Proxies): Promise<PullRequested>;
  /** A kernel in a directory of the host. @throws BangerError `file_unusable`, `name_invalid` */
  kernelFrom(name: string, path: string): Promise<PullRequested>;
}

async function fromRegistry(
  options: PullOptions,
  state: State,
  request: PullRequest,
): Promise<PullRequested> {
  const reference = fullReference(request.ref);
  const name = checkName(request.name ?? nameOf(request.ref));
  const need = await kernelNamed(state, request.kernel ?? defaultKernel);
  const digest = await resolveOci(reference, options);
  const source: ImageSource = {
    kind: "oci",
    reference,
    digest,
    sizeMiB: request.sizeMiB ?? null,
    kernelId: need.imageId,
  };
  return { imageId: imageIdFrom(name, digest.slice(digest.indexOf(":") + 1)), name, source, need };
}

async function fromCatalog({ ref, name, kernel, sizeMiB }: PullRequest): Promise<PullRequested> {
  const { images } = await readCatalog();
  if (!images.some((image) => image.name === ref)) {
    const names = images.map((image) => image.name);
    const meant = suggest(ref, names);
    throw new BangerError("image_unknown", `the catalog has no image ${ref}`, {
      hint:
        meant === undefined
          ? `banger image pull ${names.join("|")}, or docker.io/library/${ref}`
          : `banger image pull ${meant}`,
    });
  }
  if (name !== undefined || kernel !== undefined || sizeMiB !== undefined) {
    throw new BangerError("options_unfit", `${ref} is built as the catalog says`, {
      hint: "--name, --kernel-ref and --size only apply to registry images",
    });
  }
  const { imageId } = await resolveImage(ref);
  return { imageId, name: ref, source: { kind: "catalog" } };
}

/** Resolves for one home; registries are asked with the access given. */
export function imageResolver(access: RegistryAccess, proxies: ProxyBook, clock: Clock): ImageResolver {
  /** What is made of it later, its kernel included, goes through the proxies of whoever asked. */
  const noted = (wanted: PullRequested, asked: Proxies | undefined): PullRequested => {
    for (const each of [wanted, wanted.need]) if (each !== undefined) proxies.note(each.imageId, asked);
    return wanted;
  };
  return {
    async kernel(state, ref, asked) {
      const here = findKernel(state, ref);
      // A name of the catalog means what the catalog has now; an id, or a name of the user's own, what is here.
      const own = here !== undefined && (here.id === ref || here.source.kind !== "catalog");
      return noted(own ? again(state, here) : await kernelOfCatalog(ref), asked);
    },
    kernelFrom: kernelOfDirectory,

    async pull(state, request, signal) {
      const here = state.images[request.ref];
      // An id stands for itself: what it was made from is known.
      if (here !== undefined) return noted(again(state, here), request.proxies);
      if (!isReference(request.ref)) return noted(await fromCatalog(request), request.proxies);
      const options = {
        ...{ ...access, clock, signal },
        ...{ proxies: proxies.choose(request.proxies), certificates: hostCertificates() },
      };
      return noted(await fromRegistry(options, state, request), request.proxies);
    },

    async register(state, request) {
      const name = checkName(request.name);
      const given = async (path?: string) => (path === undefined ? null : marks(path));
      const files = await Promise.all(
        [request.rootfs, request.kernel, request.initrd, request.modules, request.workSeed].map(given),
      );
      const [rootfs, kernel, initrd, modules, workSeed] = files.map((file) => file?.path ?? null);
      for (const path of [rootfs, workSeed]) if (path) await checkExt4(path);
      const own = kernel !== null && kernel !== undefined;
      const need = own ? undefined : await kernelNamed(state, request.kernelRef ?? defaultKernel);
      const source: ImageSource = {
        kind: "files",
        rootfs: rootfs ?? "",
        kernel: kernel ?? null,
        initrd: initrd ?? null,
        modules: modules ?? null,
        ...(workSeed && { workSeed }),
        kernelId: need?.imageId ?? null,
      };
      const imageId = imageIdFrom(name, hashOf([files.map((file) => file?.mark), source.kernelId]));
      return noted({ imageId, name, source, ...(need && { need }) }, request.proxies);
    },

    promote({ id, name, source }) {
      if (source.kind !== "files") {
        throw new BangerError("image_managed", `${name} is already in managed storage`, {
          hint: "banger image list",
        });
      }
      return {
        imageId: imageIdFrom(name, hashOf(["copy", id])),
        name,
        source: { kind: "copy", imageId: id },
      };
    },
  };
}
