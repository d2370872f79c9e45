/** Writes the root disk of an OCI image: its layers stream through once, and become an ext4 file without root. */
import { createHash } from "node:crypto";
import { closeSync, fsyncSync, ftruncateSync, openSync, rmSync } from "node:fs";
import { Disk } from "../ext4/disk.js";
import { finish } from "../ext4/finish.js";
import { Ext4Image } from "../ext4/image.js";
import { blockSize, type Finished, typeBits } from "../ext4/layout.js";
import { hostError } from "../host/host-error.js";
import { defaultLimits, LayerTree, type Limits, refusal } from "./layer-tree.js";
import { TarError } from "./tar-header.js";
import { type TarEntry, TarReader } from "./tar-reader.js";
import { unpackLayer } from "./unpack-layer.js";

/** A layer in the cache of blobs. */
export interface Layer {
  digest: string;
  /** Packed bytes. */
  size: number;
  path: string;
  /** `sha256:…` of the unpacked archive, when the image's configuration says it. */
  diffId?: string | undefined;
}

/** What banger itself puts into an image; parents that are missing are made. */
export type ExtraEntry =
  | { type: "file"; path: string; mode: number; content: Buffer }
  | { type: "directory"; path: string; mode: number }
  | { type: "symlink"; path: string; target: string };

/** What the layers made, for deciding what to add. */
export interface RootfsView {
  /** The first bytes of a file, links followed; undefined when there is no such file. */
  read(path: string, limit?: number): Buffer | undefined;
  /** What the path leads to, links followed. */
  type(path: string): "file" | "directory" | "other" | undefined;
}

export interface RootfsOptions {
  /** Called when all layers are in the tree. */
  extraEntries?: (view: RootfsView) => readonly ExtraEntry[];
  /** The whole disk; without it content and `minimumFreeMiB` decide. */
  sizeMiB?: number;
  minimumFreeMiB?: number;
  limits?: Partial<Limits>;
  label?: string;
  /** Time of the file system's making and of the extra entries, in seconds since the epoch. */
  seconds: number;
  /** Looked up in for zstd, as in PATH. */
  searchPath: string;
  signal: AbortSignal;
  onProgress?: (progress: { layer: number; layers: number; packedBytes: number; totalBytes: number }) => void;
}

export interface RootfsResult extends Finished {
  /** Names in the tree, removed ones included. */
  entries: number;
}

/** zlib's way to say that the packed bytes are broken. */
const isPackingError = (error: unknown): boolean =>
  /^Z_(DATA|BUF|STREAM|NEED_DICT)/.test((error as NodeJS.ErrnoException).code ?? "");

class Budget {
  private total = 0;
  private inLayer = 0;

  constructor(private readonly limits: Limits) {}

  nextLayer(): void {
    this.inLayer = 0;
  }

  /** @throws TarError when the layers unpack to more than they may */
  take(bytes: number, packed: number): void {
    this.total += bytes;
    this.inLayer += bytes;
    const { maximumBytes, maximumRatio, ratioFromBytes } = this.limits;
    if (this.total > maximumBytes) throw new TarError(`the layers unpack to more than ${maximumBytes} bytes`);
    if (this.inLayer > ratioFromBytes && this.inLayer > packed * maximumRatio)
      throw new TarError(`the layer unpacks to more than ${maximumRatio} times its size`);
  }
}

async function applyLayer(
  layer: Layer,
  tree: LayerTree,
  budget: Budget,
  options: Pick<RootfsOptions, "searchPath" | "signal">,
  onPacked: (bytes: number) => void,
): Promise<void> {
  const reader = new TarReader(tree);
  const { bytes, packed, ended, close } = unpackLayer(layer.path, options.searchPath);
  const hash = layer.diffId?.startsWith("sha256:") ? createHash("sha256") : undefined;
  tree.nextLayer();
  budget.nextLayer();
  try {
    for await (const chunk of bytes as AsyncIterable<Buffer>) {
      options.signal.throwIfAborted();
      budget.take(chunk.length, packed());
      hash?.update(chunk);
      reader.push(chunk);
      onPacked(packed());
    }
    await ended;
    reader.finish();
    if (hash !== undefined && `sha256:${hash.digest("hex")}` !== layer.diffId)
      throw new TarError("it unpacks to something else than the image's configuration says");
  } catch (error) {
    const broken = isPackingError(error) ? new TarError("it cannot be unpacked") : error;
    throw refusal(broken, layer.digest, reader.where);
  } finally {
    close();
  }
}

const viewOf = (tree: LayerTree): RootfsView => ({
  read(path, limit = 1 << 16) {
    const entry = tree.resolve(path);
    return entry !== 0 && tree.image.type(entry) === typeBits.file
      ? tree.image.read(entry, limit)
      : undefined;
  },
  type(path) {
    const entry = tree.resolve(path);
    if (entry === 0) return undefined;
    const type = tree.image.type(entry);
    if (type === typeBits.file) return "file";
    return type === typeBits.directory ? "directory" : "other";
  },
});

function addExtra(tree: LayerTree, extra: ExtraEntry, seconds: number): void {
  const content = extra.type === "file" ? extra.content : Buffer.alloc(0);
  const entry: TarEntry = {
    path: Buffer.from(extra.path).toString("latin1"),
    type: extra.type,
    mode: extra.type === "symlink" ? 0o777 : extra.mode,
    uid: 0,
    gid: 0,
    seconds,
    nanoseconds: 0,
    size: content.length,
    segments: undefined,
    link: extra.type === "symlink" ? Buffer.from(extra.target).toString("latin1") : "",
    major: 0,
    minor: 0,
    xattrs: undefined,
  };
  tree.entry(entry);
  tree.data(content);
  tree.end();
}

/** The same layers give the same name, so that a disk can be made again byte for byte. */
function uuidOf(layers: readonly Layer[]): Buffer {
  const hash = createHash("sha256");
  for (const { digest } of layers) hash.update(`${digest}\n`);
  const uuid = hash.digest().subarray(0, 16);
  uuid.writeUInt8(((uuid[6] as number) & 0x0f) | 0x80, 6);
  uuid.writeUInt8(((uuid[8] as number) & 0x3f) | 0x80, 8);
  return uuid;
}

const blocksPerMiB = 2 ** 20 / blockSize;

async function fill(fd: number, layers: readonly Layer[], options: RootfsOptions): Promise<RootfsResult> {
  const limits = { ...defaultLimits, ...options.limits };
  const tree = new LayerTree(new Ext4Image(new Disk(fd), limits.maximumSteps), limits);
  const budget = new Budget(limits);
  const totalBytes = layers.reduce((sum, { size }) => sum + size, 0);
  let before = 0;
  for (const [index, layer] of layers.entries()) {
    await applyLayer(layer, tree, budget, options, (bytes) =>
      options.onProgress?.({ layer: index, layers: layers.length, packedBytes: before + bytes, totalBytes }),
    );
    before += layer.size;
  }
  tree.nextLayer();
  for (const extra of options.extraEntries?.(viewOf(tree)) ?? []) {
    try {
      addExtra(tree, extra, options.seconds);
    } catch (error) {
      throw refusal(error, "of banger", `entry ${extra.path}`);
    }
  }
  const size = {
    totalBlocks: options.sizeMiB === undefined ? undefined : options.sizeMiB * blocksPerMiB,
    freeBlocks: (options.minimumFreeMiB ?? 0) * blocksPerMiB,
  };
  const identity = { uuid: uuidOf(layers), label: options.label ?? "banger-root", seconds: options.seconds };
  const finished = finish(tree.image, size, identity);
  ftruncateSync(fd, finished.totalBytes);
  fsyncSync(fd);
  return { ...finished, entries: tree.image.names.count };
}

/**
 * Writes `target`, which must not exist; nothing of it stays when this fails.
 * Runs mostly on the calling thread, so the daemon must not call it: a builder process does.
 * @throws BangerError `layer_refused`, `image_too_large`, `tool_missing`, `disk_full`, the signal's reason.
 */
export async function writeRootfs(
  layers: readonly Layer[],
  target: string,
  options: RootfsOptions,
): Promise<RootfsResult> {
  let fd: number;
  try {
    fd = openSync(target, "wx+", 0o600);
  } catch (error) {
    throw hostError(error, target);
  }
  try {
    return await fill(fd, layers, options);
  } catch (error) {
    rmSync(target, { force: true });
    throw options.signal.aborted ? options.signal.reason : hostError(error, target);
  } finally {
    closeSync(fd);
  }
}
