/** The nouns of images and kernels: what they are made from, and what has become of them. Types only. */
import type { ErrorBody } from "../lib/errors.js";

/** `<name>-<8 hex digits of what it is made from>`; that of a kernel begins with `kernel-`. */
export type ImageId = string;

/** What an image or kernel is made from. Paths are absolute paths of the host; sizes of null follow the content. */
export type ImageSource =
  /** The entry of that name in the catalog of images or of kernels. */
  | { kind: "catalog" }
  /** `digest` is that of the manifest; `reference` what was asked for, in full. */
  | { kind: "oci"; reference: string; digest: string; sizeMiB: number | null; kernelId: ImageId }
  /** Files that stay where they are. Modules are a tree of /lib/modules/RELEASE. */
  | {
      kind: "files";
      rootfs: string;
      kernel: string | null;
      initrd: string | null;
      modules: string | null;
      /** An ext4 that /root of each VM begins with; what the root disk has there when left out. */
      workSeed?: string;
      kernelId: ImageId | null;
    }
  /** The files of another image, to be had in a place of banger's own. */
  | { kind: "copy"; imageId: ImageId }
  /** A directory with a kernel, and modules if it has any. */
  | { kind: "directory"; path: string };

/** One of the layers that an image from a registry is made of, on its way here. */
export interface LayerProgress {
  /** Place among the layers, from 1. */
  number: number;
  count: number;
  receivedBytes: number;
  totalBytes: number;
  /** Packed bytes of all layers. */
  imageBytes: number;
  /** `cached`: it was here before. */
  state: "downloading" | "done" | "cached";
}

/** What the making of an image has come to; `detail` in words. */
export interface StageReached {
  stage: string;
  detail?: string;
  layer?: LayerProgress;
}

export type ImagePhase = "building" | "ready" | "failed" | "deleting" | "deleted";

export interface Image {
  id: ImageId;
  name: string;
  source: ImageSource;
  phase: ImagePhase;
  stage: string | null;
  error: ErrorBody | null;
  sizeBytes: number | null;
  /** It lay there, whoever made it: without its files it is not an image of this home any more, unless VMs need it. */
  found?: true;
  createdAt: number;
  changedAt: number;
}

/** What an image says of itself: enough to know it by, and to make it anew. */
export interface ImageOrigin extends Pick<Image, "name" | "source"> {
  /** In ms since the epoch. */
  builtAt: number;
}
