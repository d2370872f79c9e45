/** Pure: where the data of sparse files lies, in the four forms that GNU tar has written over time. */
import type { Segment } from "../ext4/file-data.js";
import { type Header, headerNumber, TarError } from "./tar-header.js";
import { type Pax, paxNumber } from "./tar-pax.js";

/** The map and the file's real size. */
export interface Sparse {
  size: number;
  segments: Segment[];
}

/** More pieces than any file in a layer has reason to have. */
export const mostSegments = 65536;

/** @throws TarError for overlaps, disorder, and more or less data than the archive has for the file */
export function checkSparse(sparse: Sparse, dataBytes: number): Sparse {
  let end = 0;
  let sum = 0;
  if (sparse.segments.length > mostSegments) throw new TarError("it is sparse in too many pieces");
  for (const { offset, length } of sparse.segments) {
    if (offset < end || !Number.isSafeInteger(offset + length))
      throw new TarError("the pieces of the sparse file overlap");
    end = offset + length;
    sum += length;
  }
  if (end > sparse.size || sum !== dataBytes) throw new TarError("the map of the sparse file is wrong");
  return sparse;
}

/** Numbers in turn: offset, length, offset, length… */
function segmentsOf(numbers: readonly string[]): Segment[] {
  if (numbers.length % 2 !== 0) throw new TarError("the map of the sparse file is torn");
  const segments: Segment[] = [];
  for (let i = 0; i < numbers.length; i += 2)
    segments.push({
      offset: paxNumber(numbers[i] as string, "sparse map"),
      length: paxNumber(numbers[i + 1] as string, "sparse map"),
    });
  return segments;
}

/** Forms 0.0 and 0.1: the map lies in the extended header. */
export function sparseFromPax({ values, segments }: Pax): Sparse | undefined {
  const map = values.get("GNU.sparse.map");
  const size = values.get("GNU.sparse.size") ?? values.get("GNU.sparse.realsize");
  if (
    size === undefined ||
    (map === undefined && segments.length === 0 && !values.has("GNU.sparse.numblocks"))
  )
    return undefined;
  const numbers = map === undefined ? segments : map.split(",").filter((part) => part !== "");
  return { size: paxNumber(size, "size"), segments: segmentsOf(numbers) };
}

/** The oldest form: up to four pieces in the header, 21 in each block that follows it. */
export function oldSparsePieces(bytes: Buffer, from: number, count: number, into: Segment[]): void {
  for (let at = from; at < from + count * 24; at += 24) {
    if (bytes[at] === 0) return;
    const offset = headerNumber(bytes, at, 12, "sparse map");
    into.push({ offset, length: headerNumber(bytes, at + 12, 12, "sparse map") });
  }
}

export const oldSparseStart = (header: Header): Sparse & { more: boolean } => {
  const segments: Segment[] = [];
  oldSparsePieces(header.bytes, 386, 4, segments);
  const size = headerNumber(header.bytes, 483, 12, "size");
  return { size, segments, more: header.bytes[482] !== 0 };
};

/** Form 1.0: the map leads the data, as decimal lines: their number, then offset and length in turn. */
export class LeadingMap {
  private readonly parts: string[] = [];
  private lines = 0;
  private wanted: number | undefined;
  private taken = 0;

  /** One block more. @returns the segments once all lines are there */
  push(block: Buffer): Segment[] | undefined {
    const text = block.toString("latin1");
    this.parts.push(text);
    this.taken += block.length;
    this.lines += text.split("\n").length - 1;
    if (this.lines === 0) throw new TarError("the map of the sparse file is torn");
    this.wanted ??= paxNumber((this.parts[0] as string).split("\n", 1)[0] as string, "sparse map");
    if (this.wanted > mostSegments || this.taken > (mostSegments + 1) * 40)
      throw new TarError("it is sparse in too many pieces");
    if (this.lines < 1 + this.wanted * 2) return undefined;
    return segmentsOf(
      this.parts
        .join("")
        .split("\n")
        .slice(1, 1 + this.wanted * 2),
    );
  }

  get bytes(): number {
    return this.taken;
  }
}
