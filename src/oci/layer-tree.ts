/** Puts the entries of layers into a tree, as they come: paths are resolved inside it, whiteouts take away. */

import type { FileData } from "../ext4/file-data.js";
import { type Attributes, type Ext4Image, Unfit } from "../ext4/image.js";
import { typeBits } from "../ext4/layout.js";
import { rootEntry } from "../ext4/names.js";
import { BangerError } from "../lib/errors.js";
import { shown, TarError } from "./tar-header.js";
import type { TarEntry, TarSink } from "./tar-reader.js";

/** What hostile or broken layers may take at most; see `defaultLimits`. */
export interface Limits {
  /** Bytes of all layers, unpacked. */
  maximumBytes: number;
  /** Unpacked to packed bytes of one layer, once it has unpacked to more than `ratioFromBytes`. */
  maximumRatio: number;
  ratioFromBytes: number;
  /** Names that there ever were in the tree. */
  maximumEntries: number;
  /** Names looked at to resolve paths and to take things away: a few entries can have many looked at, again and again. */
  maximumSteps: number;
}

export const defaultLimits: Limits = {
  maximumBytes: 128 * 2 ** 30,
  maximumRatio: 400,
  ratioFromBytes: 2 ** 30,
  maximumEntries: 2_000_000,
  maximumSteps: 200_000_000,
};

const longestComponent = 255;
const mostComponents = 1024;
/** As many as Linux follows in one path. */
const mostLinksFollowed = 40;
const whiteoutPrefix = ".wh.";
const opaqueMarker = ".wh..wh..opq";
/** Attributes that hold only on the machine they come from. */
const foreignXattrs = /^(security\.selinux$|system\.nfs4_acl$|trusted\.overlay\.)/;

/**
 * A path's parts, cleaned by their text alone as containerd and umoci do: "x/../y" is y, whatever x is. Where those
 * two keep what leads out of the root inside it, Docker's rule holds: it is refused.
 * @throws TarError for what leads out, names too long and NUL
 */
function components(path: string): string[] {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.pop() === undefined) throw new TarError("its path leads out of the root");
  }
  if (path.includes("\0")) throw new TarError("its name has a zero byte");
  if (parts.some((part) => part.length > longestComponent)) throw new TarError("its name is too long");
  if (parts.length > mostComponents) throw new TarError("its path is too deep");
  return parts;
}

export class LayerTree implements TarSink {
  private file: FileData | undefined;
  /** The directory that the last path led to; most entries lie beside their predecessor. */
  private lastParent: { path: string; entry: number } | undefined;

  /** Links that the last walk went through. */
  private followed = 0;

  constructor(
    readonly image: Ext4Image,
    private readonly limits: Limits,
  ) {}

  /** What comes now belongs to the next layer. */
  nextLayer(): void {
    this.image.layer += 1;
    this.lastParent = undefined;
  }

  entry(entry: TarEntry): void {
    const parts = components(entry.path);
    const name = parts.pop() ?? "";
    if (name.startsWith(whiteoutPrefix)) return this.whiteout(parts, name);
    if (this.image.names.count >= this.limits.maximumEntries)
      throw new TarError(`the layers have more than ${this.limits.maximumEntries} entries`);
    const attributes: Attributes = { ...entry, xattrs: kept(entry.xattrs) };
    if (name === "") {
      if (entry.type !== "directory") throw new TarError("the root is not a directory");
      this.image.directory(rootEntry, "", attributes);
      return;
    }
    this.make(entry, this.parent(parts, attributes), name, attributes);
  }

  data(bytes: Buffer): void {
    this.file?.write(bytes);
  }

  end(): void {
    this.file?.end();
    this.file = undefined;
  }

  /** The entry that a path leads to, its last part not followed; 0 when there is none. */
  find(path: string): number {
    const parts = components(path);
    const name = parts.pop();
    if (name === undefined) return rootEntry;
    const parent = this.walk(parts);
    return parent === 0 ? 0 : this.image.find(parent, name);
  }

  /** The entry that a path leads to, symlinks followed; 0 when there is none. */
  resolve(path: string): number {
    return this.walk(components(path), undefined, true);
  }

  private make(entry: TarEntry, parent: number, name: string, attributes: Attributes): void {
    const { image } = this;
    switch (entry.type) {
      case "file":
        this.file = image.file(parent, name, entry.size, attributes, entry.segments);
        return;
      case "directory":
        image.directory(parent, name, attributes);
        return;
      case "symlink":
        if (entry.link.includes("\0")) throw new TarError("its link has a zero byte");
        return image.symlink(parent, name, entry.link, attributes);
      case "hardlink":
        return this.hardLink(parent, name, entry.link);
      case "character":
        return image.device(parent, name, typeBits.character, entry, attributes);
      case "block":
        return image.device(parent, name, typeBits.block, entry, attributes);
      case "fifo":
        return image.fifo(parent, name, attributes);
      default:
        entry.type satisfies never;
    }
  }

  private hardLink(parent: number, name: string, link: string): void {
    const target = this.find(link);
    if (target === 0) throw new TarError(`it is a hard link to ${shown(link)}, which is not there`);
    this.image.link(parent, name, target);
  }

  private whiteout(parts: readonly string[], name: string): void {
    const parent = this.walk(parts);
    if (parent === 0) return;
    this.lastParent = undefined;
    if (name === opaqueMarker) {
      this.image.empty(parent);
      return;
    }
    const hidden = name.slice(whiteoutPrefix.length);
    // The other names of this kind are notes that aufs made for itself.
    if (hidden.startsWith(whiteoutPrefix)) return;
    const entry = hidden === "" || hidden === "." || hidden === ".." ? 0 : this.image.find(parent, hidden);
    if (entry !== 0) this.image.whiteout(entry);
  }

  /** The directory that an entry goes to; missing ones are made. */
  private parent(parts: readonly string[], attributes: Attributes): number {
    const path = parts.join("/");
    if (this.lastParent?.path === path) return this.lastParent.entry;
    const entry = this.walk(parts, attributes);
    // Where a link leads can change with any entry beside it.
    this.lastParent = this.followed === 0 ? { path, entry } : undefined;
    return entry;
  }

  /**
   * Follows a path inside the tree as chroot(2) would: ".." and absolute links never leave it.
   * Directories that are missing are made if `like` is given, else the result is 0.
   */
  private walk(parts: readonly string[], like?: Attributes, last = false): number {
    const { image } = this;
    const ahead = [...parts].reverse();
    let at: number = rootEntry;
    this.followed = 0;
    while (ahead.length > 0) {
      const part = ahead.pop() as string;
      if (part === "" || part === ".") continue;
      if (part === "..") {
        at = at === rootEntry ? rootEntry : image.names.parent(at);
        continue;
      }
      const entry = image.find(at, part);
      const type = entry === 0 ? 0 : image.type(entry);
      if (type === typeBits.directory) at = entry;
      else if (type === typeBits.symlink) {
        this.followed += 1;
        if (this.followed > mostLinksFollowed) throw new TarError("its path has too many symbolic links");
        const target = image.target(entry);
        if (target.startsWith("/")) at = rootEntry;
        ahead.push(...target.split("/").reverse());
        if (ahead.length > mostComponents * 4) throw new TarError("its path is too deep");
      } else if (type !== 0 && last && ahead.length === 0) return entry;
      else if (like === undefined) return 0;
      else {
        // What is not a directory is replaced by one, as in umoci: an upper layer may put a/b over the file a.
        if (part.length > longestComponent) throw new TarError("its path has a link with too long a name");
        at = image.directory(at, part, { ...like, mode: 0o755, uid: 0, gid: 0, xattrs: undefined });
      }
    }
    return at;
  }
}

function kept(xattrs: Map<string, Buffer> | undefined): Map<string, Buffer> | undefined {
  if (xattrs === undefined) return undefined;
  return new Map([...xattrs].filter(([name]) => !foreignXattrs.test(name)));
}

/** The named error of a layer that is refused; other errors stay what they are. */
export function refusal(error: unknown, digest: string, where: string): unknown {
  if (!(error instanceof TarError || error instanceof Unfit)) return error;
  const place = where === "" ? "" : `, ${where}`;
  return new BangerError("layer_refused", `layer ${digest.slice(0, 19)}${place}: ${error.message}`, {
    hint: "banger image cache prune, and pull again; a layer that is refused again has to be built anew",
    cause: error,
  });
}
