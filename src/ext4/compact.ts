/** Growing arrays of numbers and bytes that hold a million entries without an object for any of them. */

type Numbers = Uint8Array | Uint16Array | Uint32Array | Float64Array;

const columnBits = 14;
const columnLength = 1 << columnBits;

/** One field of many records; chunks keep growth from copying (and so from doubling) what is there. */
export class Column {
  private readonly chunks: Numbers[] = [];

  constructor(private readonly make: new (length: number) => Numbers) {}

  /** Zero where nothing was set. */
  get(index: number): number {
    return this.chunks[index >>> columnBits]?.[index & (columnLength - 1)] ?? 0;
  }

  set(index: number, value: number): void {
    const at = index >>> columnBits;
    while (this.chunks.length <= at) this.chunks.push(new this.make(columnLength));
    (this.chunks[at] as Numbers)[index & (columnLength - 1)] = value;
  }
}

const arenaBits = 18;
const arenaLength = 1 << arenaBits;
const longest = 255;

/** Byte strings of at most 255 bytes, kept permanently; a JavaScript string stands for bytes one to one (latin1). */
export class Arena {
  private readonly chunks: Buffer[] = [];
  private end = 0;

  /** Where the text lies, for `text` and `equals`; never 0. */
  add(text: string): number {
    if (text.length > longest) throw new RangeError("the arena takes up to 255 bytes");
    const needed = text.length + 1;
    const room = arenaLength - (this.end & (arenaLength - 1));
    if (this.end === 0 || room < needed) {
      this.end = this.chunks.length * arenaLength + (this.chunks.length === 0 ? 1 : 0);
      this.chunks.push(Buffer.alloc(arenaLength));
    }
    const chunk = this.chunks[this.end >>> arenaBits] as Buffer;
    const offset = this.end & (arenaLength - 1);
    chunk[offset] = text.length;
    chunk.write(text, offset + 1, "latin1");
    const at = this.end;
    this.end += needed;
    // A chunk filled to its last byte must not look like one not yet begun.
    if ((this.end & (arenaLength - 1)) === 0) this.chunks.push(Buffer.alloc(arenaLength));
    return at;
  }

  /** Changes nothing and copies nothing: valid only for reading. */
  bytes(at: number): Buffer {
    const chunk = this.chunks[at >>> arenaBits] as Buffer;
    const offset = at & (arenaLength - 1);
    return chunk.subarray(offset + 1, offset + 1 + (chunk[offset] as number));
  }

  text(at: number): string {
    return this.bytes(at).toString("latin1");
  }

  equals(at: number, text: string): boolean {
    const chunk = this.chunks[at >>> arenaBits] as Buffer;
    const offset = at & (arenaLength - 1);
    if (chunk[offset] !== text.length) return false;
    for (let i = 0; i < text.length; i++) if (chunk[offset + 1 + i] !== text.charCodeAt(i)) return false;
    return true;
  }
}
