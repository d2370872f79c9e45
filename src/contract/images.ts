/** The API's schemas and routes of images and kernels. */
import { type Static, Type } from "@sinclair/typebox";
import { ApiError, NewName, Nullable, type Route, Time } from "./basics.js";

const closed = { additionalProperties: false } as const;
const Name = NewName(
  "^[a-z0-9][a-z0-9.-]{0,63}$",
  "lowercase letters, digits, dots and dashes, at most 64, starting with a letter or digit",
);
const Path = Type.String({ pattern: "^/", maxLength: 4096, description: "an absolute path on this host" });
const Ref = Type.String({ minLength: 1, maxLength: 512 });

export const ImageView = Type.Object({
  id: Type.String(),
  name: Type.String(),
  phase: Type.String(),
  stage: Nullable(Type.String()),
  /** What it is made from, in words. */
  source: Type.String(),
  sizeBytes: Nullable(Type.Integer()),
  error: Nullable(ApiError),
  createdAt: Time,
  changedAt: Time,
  seq: Type.Integer(),
});

export const ImageDetails = Type.Composite([
  ImageView,
  Type.Object({
    directory: Type.String(),
    /** What the image says of itself; null while it is not whole. */
    manifest: Nullable(Type.Record(Type.String(), Type.Unknown())),
    /** Names of the VMs that were made of it. */
    users: Type.Array(Type.String()),
  }),
]);

/** An entry of the catalog, and the id under which it is made here. */
const AvailableView = Type.Object({
  name: Type.String(),
  id: Type.String(),
  summary: Type.String(),
  here: Type.Boolean(),
});

/**
 * `after` is the seq to follow the image's stream from; `already` says that nothing had to be done, and `here` that its
 * files lie on the disk whole, so that it only has to be seen: another home, which shares the images, had it made.
 */
export const ImagePullResult = Type.Object({
  image: ImageView,
  after: Type.Integer(),
  already: Type.Boolean(),
  here: Type.Boolean(),
});

/** Variables of the client's shell, which the daemon does not have; with none of them the configuration's count. */
const ProxySetting = Type.Optional(Type.String({ minLength: 1, maxLength: 8192 }));
const ProxySettings = Type.Object(
  { http_proxy: ProxySetting, https_proxy: ProxySetting, no_proxy: ProxySetting },
  closed,
);

const ImagePull = Type.Object(
  {
    /** A name of the catalog, the id of an image, or a reference to an image in a registry. */
    ref: Ref,
    /** Name of the image; the repository's last part when left out. */
    name: Type.Optional(Name),
    /** Name or id of a kernel. */
    kernel: Type.Optional(Ref),
    /** Size of the root disk; by the content when left out. */
    sizeMiB: Type.Optional(Type.Integer({ minimum: 64, maximum: 16 * 1024 * 1024 })),
    proxies: Type.Optional(ProxySettings),
  },
  closed,
);

const ImageRegister = Type.Object(
  {
    name: Name,
    rootfs: Path,
    kernel: Type.Optional(Path),
    kernelRef: Type.Optional(Ref),
    initrd: Type.Optional(Path),
    modules: Type.Optional(Path),
    /** ext4 that /root of each VM begins with; what the root disk has there when left out. */
    workSeed: Type.Optional(Path),
    proxies: Type.Optional(ProxySettings),
  },
  closed,
);

const KernelPull = Type.Object({ ref: Ref, proxies: Type.Optional(ProxySettings) }, closed);

export const CachePruneResult = Type.Object({ blobs: Type.Integer(), bytes: Type.Integer() });

/** `:ref` is a name or id. */
export const imageRoutes = {
  imageList: { method: "GET", path: "/v1/images", summary: "All images", reply: Type.Array(ImageView) },
  imageAvailable: {
    method: "GET",
    path: "/v1/catalog/images",
    summary: "Images in the catalog",
    reply: Type.Array(AvailableView),
  },
  imageShow: { method: "GET", path: "/v1/images/:ref", summary: "One image", reply: ImageDetails },
  imagePull: {
    method: "POST",
    path: "/v1/images/pull",
    summary: "Build a catalog image or pull one from a registry",
    body: ImagePull,
    reply: ImagePullResult,
  },
  imageRegister: {
    method: "POST",
    path: "/v1/images/register",
    summary: "Register an image from files on this host; they stay where they are",
    body: ImageRegister,
    reply: ImagePullResult,
  },
  imagePromote: {
    method: "POST",
    path: "/v1/images/:ref/promote",
    summary: "Copy a registered image into managed storage",
    reply: ImagePullResult,
  },
  imageDelete: {
    method: "DELETE",
    path: "/v1/images/:ref",
    summary: "Delete an image that no VM uses",
    reply: ImagePullResult,
  },
  imageCachePrune: {
    method: "POST",
    path: "/v1/images/cache/prune",
    summary: "Empty the cache of registry blobs",
    body: Type.Object({ dryRun: Type.Boolean() }, closed),
    reply: CachePruneResult,
  },
  kernelList: { method: "GET", path: "/v1/kernels", summary: "All kernels", reply: Type.Array(ImageView) },
  kernelAvailable: {
    method: "GET",
    path: "/v1/catalog/kernels",
    summary: "Kernels in the catalog",
    reply: Type.Array(AvailableView),
  },
  kernelShow: { method: "GET", path: "/v1/kernels/:ref", summary: "One kernel", reply: ImageDetails },
  kernelPull: {
    method: "POST",
    path: "/v1/kernels/pull",
    summary: "Build a kernel from the catalog",
    body: KernelPull,
    reply: ImagePullResult,
  },
  kernelImport: {
    method: "POST",
    path: "/v1/kernels/import",
    summary: "Copy a kernel from a directory of this host",
    body: Type.Object({ name: Name, from: Path }, closed),
    reply: ImagePullResult,
  },
  kernelDelete: {
    method: "DELETE",
    path: "/v1/kernels/:ref",
    summary: "Delete a kernel; images keep their copy",
    reply: ImagePullResult,
  },
} as const satisfies Record<string, Route>;

export type ImageView = Static<typeof ImageView>;
export type ImageDetails = Static<typeof ImageDetails>;
export type ImagePull = Static<typeof ImagePull>;
export type KernelPull = Static<typeof KernelPull>;
export type ImageRegister = Static<typeof ImageRegister>;
export type ImagePullResult = Static<typeof ImagePullResult>;
export type AvailableView = Static<typeof AvailableView>;
export type CachePruneResult = Static<typeof CachePruneResult>;
