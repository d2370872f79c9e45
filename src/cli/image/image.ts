/** `banger image`: pull, register, promote and the cache; what kernels have too is in making.ts. */
import { resolve } from "node:path";
import { proxiesOf } from "../../host/proxies.js";
import { usageError } from "../base/check.js";
import { command } from "../base/command.js";
import { answer, call, say } from "../base/context.js";
import { sizeFlag } from "../base/numbers.js";
import { deleteCommand, listCommand, printMade, pullImage, showCommand, untilReady } from "./pulling.js";

export const list = listCommand("image");
export const show = showCommand("image");
export const remove = deleteCommand("image", "delete");

const quietFlag = { type: "boolean", alias: "q", description: "Print only the image's id" } as const;
const kernelFlag = {
  type: "string",
  valueHint: "K",
  description: "Kernel name or id (default: Debian's cloud kernel)",
} as const;

/** The smallest root disk is what ext4 itself needs; the largest what its files can have. */
const rootDisk = { minimum: 64, maximum: 16 * 1024 * 1024 };

export const pull = command({
  summary: "Build a catalog image or pull one from a registry",
  usage: "NAME|REFERENCE [flags]",
  examples: [
    "banger image pull debian-slim",
    "banger image pull docker.io/library/alpine:3",
    "banger image pull ghcr.io/acme/dev:latest --name dev --size 20G",
  ],
  words: { min: 1, max: 1, name: "NAME" },
  flags: {
    name: { type: "string", valueHint: "N", description: "Name (default: the last part of the repository)" },
    "kernel-ref": kernelFlag,
    size: {
      type: "string",
      valueHint: "SIZE",
      description: "Size of the root disk (default: fits the content)",
    },
    quiet: quietFlag,
  },
  async run(flags, { context, words }) {
    const ref = words[0] ?? "";
    const { name, "kernel-ref": kernel, size } = flags;
    const { id, already } = await pullImage(context, ref, flags.quiet === true, {
      ...(name !== undefined && { name }),
      ...(kernel !== undefined && { kernel }),
      ...(size !== undefined && { sizeMiB: sizeFlag("size", size, rootDisk) }),
    });
    if (already && flags.quiet !== true) say(context, `${ref} is already present`);
    await printMade(context, "image", id);
    return 0;
  },
});

export const register = command({
  summary: "Register an image from files on this host; they stay where they are",
  usage: "--name N --rootfs P [flags]",
  examples: [
    "banger image register --name mine --rootfs ./root.ext4",
    "banger image register --name mine --rootfs ./root.ext4 --kernel ./vmlinux --modules ./lib/modules/6.1.0",
  ],
  flags: {
    name: { type: "string", valueHint: "N", description: "Name of the image" },
    rootfs: { type: "string", valueHint: "P", description: "Root disk: an ext4 file system" },
    kernel: { type: "string", valueHint: "P", description: "Kernel: vmlinux, or a bzImage" },
    "kernel-ref": kernelFlag,
    initrd: {
      type: "string",
      valueHint: "P",
      description: "cpio archive of modules with their modules.list",
    },
    modules: { type: "string", valueHint: "P", description: "Directory lib/modules/RELEASE of the kernel" },
    "work-seed": {
      type: "string",
      valueHint: "P",
      description: "ext4 file system that each VM's /root starts from (default: /root of the root disk)",
    },
    quiet: quietFlag,
  },
  async run(flags, { context }) {
    const { name, rootfs, kernel, initrd, modules, "kernel-ref": kernelRef, "work-seed": seed } = flags;
    if (name === undefined || rootfs === undefined)
      throw usageError("--name and --rootfs are required", "banger image register --help");
    if (kernel !== undefined && kernelRef !== undefined)
      throw usageError("--kernel and --kernel-ref cannot be combined", "leave one of them out");
    if (kernel === undefined && (initrd !== undefined || modules !== undefined))
      throw usageError("--initrd and --modules need --kernel", "--kernel P");
    const body = {
      proxies: proxiesOf(context.env),
      name,
      rootfs: resolve(rootfs),
      ...(kernel !== undefined && { kernel: resolve(kernel) }),
      ...(kernelRef !== undefined && { kernelRef }),
      ...(initrd !== undefined && { initrd: resolve(initrd) }),
      ...(modules !== undefined && { modules: resolve(modules) }),
      ...(seed !== undefined && { workSeed: resolve(seed) }),
    };
    const asked = await call(context, "imageRegister", { body });
    const { id } = await untilReady(context, "image", asked, flags.quiet === true, "is being registered");
    await printMade(context, "image", id);
    return 0;
  },
});

export const promote = command({
  summary: "Copy a registered image into managed storage; the name then refers to the copy",
  usage: "NAME|ID [flags]",
  examples: ["banger image promote mine"],
  words: { min: 1, max: 1, name: "NAME" },
  flags: { quiet: quietFlag },
  async run(flags, { context, words }) {
    const asked = await call(context, "imagePromote", { ref: words[0] ?? "" });
    const { id } = await untilReady(context, "image", asked, flags.quiet === true, "is being copied");
    await printMade(context, "image", id);
    return 0;
  },
});

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

export const cachePrune = command({
  summary: "Empty the cache of registry downloads; images stay",
  usage: "[flags]",
  examples: ["banger image cache prune --dry-run", "banger image cache prune"],
  flags: { "dry-run": { type: "boolean", description: "Only show what would be removed" } },
  async run(flags, { context }) {
    const dryRun = flags["dry-run"] === true;
    const { blobs, bytes } = await call(context, "imageCachePrune", { body: { dryRun } });
    const what = `${blobs} blobs, ${megabytes(bytes)}`;
    await answer(context, { dryRun, blobs, bytes }, `${dryRun ? "would remove" : "removed"} ${what}\n`);
    return 0;
  },
});
