/** Reads a tar archive as it streams by: entries and their data, in order, names as bytes. */
import type { Segment } from "../ext4/file-data.js";
import { type Header, isZeroBlock, parseHeader, shown, TarError } from "./tar-header.js";
import { type Pax, parsePax, paxNumber, paxTime } from "./tar-pax.js";
import {
  checkSparse,
  LeadingMap,
  mostSegments,
  oldSparsePieces,
  oldSparseStart,
  type Sparse,
  sparseFromPax,
} from "./tar-sparse.js";

export type EntryType = "file" | "directory" | "symlink" | "hardlink" | "character" | "block" | "fifo";

/** Bytes of names stand as latin1 strings. */
export interface TarEntry {
  path: string;
  type: EntryType;
  mode: number;
  uid: number;
  gid: number;
  seconds: number;
  nanoseconds: number;
  /** Of the file as it is to be, holes included. */
  size: number;
  /** Where its data lies, if it is sparse. */
  segments: Segment[] | undefined;
  link: string;
  major: number;
  minor: number;
  xattrs: Map<string, Buffer> | undefined;
}

export interface TarSink {
  entry(entry: TarEntry): void;
  /** Data of the last entry, if that is a file; valid only during the call. */
  data(bytes: Buffer): void;
  /** The last entry, if a file, is whole. */
  end(): void;
}

const types: Readonly<Record<string, EntryType>> = {
  "\0": "file",
  "0": "file",
  "7": "file",
  S: "file",
  "1": "hardlink",
  "2": "symlink",
  "3": "character",
  "4": "block",
  "5": "directory",
  D: "directory",
  "6": "fifo",
};
const block = 512;
const longestName = 1 << 16;
const longestPax = 1 << 20;
const mostOwner = 2 ** 32 - 2;

/** What is being read: a header, the body of a header that describes the next one, data, or what fills its last block. */
type State = "header" | "body" | "oldSparse" | "leadingMap" | "data" | "skip" | "padding" | "ended";

const streamed: ReadonlySet<State> = new Set(["data", "skip", "padding", "body"]);

export class TarReader {
  private state: State = "header";
  private readonly partial = Buffer.alloc(block);
  private filled = 0;
  /** Bytes of body, data or padding yet to come. */
  private left = 0;
  private padding = 0;
  private body: { type: string; parts: Buffer[] } = { type: "", parts: [] };
  private pax: Pax | undefined;
  private longName: string | undefined;
  private longLink: string | undefined;
  private zeroBlocks = 0;
  private pending: { entry: TarEntry; sparse: Sparse; bytes: number } | undefined;
  private map = new LeadingMap();
  private path = "";
  private inEntry = false;

  constructor(private readonly sink: TarSink) {}

  /** @throws TarError when the archive is malformed, and what the sink throws */
  push(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length && this.state !== "ended") {
      if (streamed.has(this.state)) {
        const taken = Math.min(this.left, bytes.length - at);
        if (this.state === "data") this.sink.data(bytes.subarray(at, at + taken));
        else if (this.state === "body") this.body.parts.push(Buffer.from(bytes.subarray(at, at + taken)));
        at += taken;
        this.left -= taken;
        if (this.left === 0) this.leave();
        continue;
      }
      const taken = Math.min(block - this.filled, bytes.length - at);
      bytes.copy(this.partial, this.filled, at, at + taken);
      this.filled += taken;
      at += taken;
      if (this.filled === block) {
        this.filled = 0;
        this.block(this.partial);
      }
    }
  }

  /** What is being read, for messages. */
  get where(): string {
    if (this.path === "") return "";
    return `${this.inEntry ? "entry" : "after entry"} ${shown(this.path)}`;
  }

  /** To be called at the end of the stream. @throws TarError when the archive is cut short */
  finish(): void {
    // Go's reader, which the field's tools have, does not miss what fills the last block up either.
    const whole = this.state === "header" || this.state === "padding";
    const between = whole && this.filled === 0 && this.pax === undefined;
    if (this.state !== "ended" && !between) throw new TarError("the archive is cut short");
  }

  private block(bytes: Buffer): void {
    if (this.state === "oldSparse") this.oldSparse(bytes);
    else if (this.state === "leadingMap") this.leadingMap(bytes);
    else if (isZeroBlock(bytes)) {
      this.zeroBlocks += 1;
      if (this.zeroBlocks === 2) this.state = "ended";
    } else {
      this.zeroBlocks = 0;
      this.inEntry = false;
      this.header(parseHeader(bytes));
    }
  }

  private enter(state: State, length: number): void {
    this.state = state;
    this.left = length;
    this.padding = (block - (length % block)) % block;
    if (length === 0) this.leave();
  }

  private leave(): void {
    if (this.state === "body") this.describe();
    else if (this.state === "data") this.sink.end();
    this.state = this.padding > 0 && this.state !== "padding" ? "padding" : "header";
    this.left = this.padding;
    this.padding = 0;
  }

  private header(header: Header): void {
    if (header.size < 0) throw new TarError("an entry has a negative size");
    if ("xgLK".includes(header.type)) {
      const limit = header.type === "x" || header.type === "g" ? longestPax : longestName;
      if (header.size > limit) throw new TarError("a header's names and attributes are too long");
      this.body = { type: header.type, parts: [] };
      return this.enter("body", header.size);
    }
    // A volume's label says nothing of the tree.
    if (header.type === "V") return this.enter("skip", header.size);
    this.begin(header);
  }

  private describe(): void {
    const bytes = Buffer.concat(this.body.parts);
    if (this.body.type === "x") this.pax = parsePax(bytes);
    const end = bytes.indexOf(0);
    const text = bytes.toString("latin1", 0, end === -1 ? bytes.length : end);
    if (this.body.type === "L") this.longName = text;
    if (this.body.type === "K") this.longLink = text;
    this.body = { type: "", parts: [] };
  }

  private begin(header: Header): void {
    const pax = this.pax;
    const values = pax?.values;
    this.path = values?.get("GNU.sparse.name") ?? values?.get("path") ?? this.longName ?? header.name;
    this.inEntry = true;
    const type = types[header.type];
    if (type === undefined) throw new TarError(`it is of an unknown type ${JSON.stringify(header.type)}`);
    const size = values?.has("size") ? paxNumber(values.get("size") as string, "size") : header.size;
    const time = values?.get("mtime");
    const owner = (key: string, value: number): number => {
      const said = values?.get(key);
      const id = said === undefined ? value : paxNumber(said, "owner");
      if (id < 0 || id > mostOwner) throw new TarError("its owner is out of range");
      return id;
    };
    const hasData = type === "file";
    // So old archives, which had no type for them, name directories.
    const oldDirectory = header.type === "\0" && this.path.endsWith("/");
    const entry: TarEntry = {
      path: this.path,
      type: oldDirectory ? "directory" : type,
      mode: header.mode & 0o7777,
      uid: owner("uid", header.uid),
      gid: owner("gid", header.gid),
      ...(time === undefined ? { seconds: header.mtime, nanoseconds: 0 } : paxTime(time)),
      size: hasData ? size : 0,
      segments: undefined,
      link: values?.get("linkpath") ?? this.longLink ?? header.link,
      major: header.major,
      minor: header.minor,
      xattrs: pax !== undefined && pax.xattrs.size > 0 ? pax.xattrs : undefined,
    };
    this.pax = undefined;
    this.longName = undefined;
    this.longLink = undefined;
    if (!hasData || oldDirectory) {
      this.sink.entry(entry);
      return this.enter("skip", oldDirectory ? size : 0);
    }
    if (header.type === "S") return this.beginOldSparse(entry, header, size);
    if (values?.get("GNU.sparse.major") === "1") return this.beginLeadingMap(entry, values, size);
    const sparse = pax === undefined ? undefined : sparseFromPax(pax);
    this.deliver(entry, sparse, size);
  }

  /** Hands a file on; `bytes` of data follow. */
  private deliver(entry: TarEntry, sparse: Sparse | undefined, bytes: number): void {
    if (sparse !== undefined) {
      entry.segments = checkSparse(sparse, bytes).segments;
      entry.size = sparse.size;
    }
    this.sink.entry(entry);
    this.enter("data", bytes);
  }

  private beginOldSparse(entry: TarEntry, header: Header, bytes: number): void {
    const { size, segments, more } = oldSparseStart(header);
    if (!more) return this.deliver(entry, { size, segments }, bytes);
    this.pending = { entry, sparse: { size, segments }, bytes };
    this.state = "oldSparse";
  }

  private oldSparse(bytes: Buffer): void {
    const { entry, sparse, bytes: data } = this.pending as NonNullable<typeof this.pending>;
    oldSparsePieces(bytes, 0, 21, sparse.segments);
    if (sparse.segments.length > mostSegments) throw new TarError("it is sparse in too many pieces");
    if (bytes[504] !== 0) return;
    this.pending = undefined;
    this.deliver(entry, sparse, data);
  }

  private beginLeadingMap(entry: TarEntry, values: Map<string, string>, bytes: number): void {
    const size = paxNumber(values.get("GNU.sparse.realsize") ?? "", "size");
    this.pending = { entry, sparse: { size, segments: [] }, bytes };
    this.map = new LeadingMap();
    this.state = "leadingMap";
  }

  private leadingMap(bytes: Buffer): void {
    const { entry, sparse, bytes: all } = this.pending as NonNullable<typeof this.pending>;
    const segments = this.map.push(bytes);
    if (this.map.bytes > all) throw new TarError("the map of the sparse file is torn");
    if (segments === undefined) return;
    this.pending = undefined;
    this.deliver(entry, { size: sparse.size, segments }, all - this.map.bytes);
  }
}
