/** The directory tree as (parent, name) → inode: compact, with a hash index, and nothing ever moves. */
import { Arena, Column } from "./compact.js";
import { KeyedHash } from "./keyed-hash.js";

/** Entry 1 is the root directory; 0 means none. */
export const rootEntry = 1;

/** Entries keep their place when their name is removed (their inode is 0 then), so that chains need no repair. */
export class Names {
  private readonly parents = new Column(Uint32Array);
  private readonly inodes = new Column(Uint32Array);
  private readonly names = new Column(Uint32Array);
  private readonly nexts = new Column(Uint32Array);
  private readonly firsts = new Column(Uint32Array);
  private readonly layers = new Column(Uint16Array);
  private readonly arena = new Arena();
  /** Names come from strangers, who may have chosen them so that a hash without a key puts them all in one place. */
  private readonly hash = new KeyedHash();
  private slots = new Uint32Array(1 << 12);
  private last = rootEntry;

  /** How many entries there ever were: a bound for memory. */
  get count(): number {
    return this.last;
  }

  private slotOf(parent: number, name: string): number {
    return this.hash.of(parent, name) & (this.slots.length - 1);
  }

  /** The entry of that name, removed or not; 0 when there never was one. */
  private seek(parent: number, name: string): { entry: number; slot: number } {
    let slot = this.slotOf(parent, name);
    for (;;) {
      const entry = this.slots[slot] as number;
      if (entry === 0) return { entry, slot };
      if (this.parents.get(entry) === parent && this.arena.equals(this.names.get(entry), name))
        return { entry, slot };
      slot = (slot + 1) & (this.slots.length - 1);
    }
  }

  private grow(): void {
    this.slots = new Uint32Array(this.slots.length * 2);
    for (let entry = rootEntry + 1; entry <= this.last; entry++) {
      let slot = this.slotOf(this.parents.get(entry), this.name(entry));
      while (this.slots[slot] !== 0) slot = (slot + 1) & (this.slots.length - 1);
      this.slots[slot] = entry;
    }
  }

  /** The live entry of that name in a directory, or 0. */
  find(parent: number, name: string): number {
    const { entry } = this.seek(parent, name);
    return entry !== 0 && this.inodes.get(entry) !== 0 ? entry : 0;
  }

  /** The entry of that name, made (without an inode) when there is none. */
  ensure(parent: number, name: string): number {
    const found = this.seek(parent, name);
    if (found.entry !== 0) return found.entry;
    const entry = ++this.last;
    this.parents.set(entry, parent);
    this.names.set(entry, this.arena.add(name));
    this.nexts.set(entry, this.firsts.get(parent));
    this.firsts.set(parent, entry);
    this.slots[found.slot] = entry;
    if (this.last * 4 > this.slots.length * 3) this.grow();
    return entry;
  }

  bind(entry: number, inode: number): void {
    this.inodes.set(entry, inode);
  }

  /** Remembers which layer last wrote the entry. */
  stamp(entry: number, layer: number): void {
    this.layers.set(entry, layer);
  }

  inode(entry: number): number {
    return this.inodes.get(entry);
  }

  layer(entry: number): number {
    return this.layers.get(entry);
  }

  parent(entry: number): number {
    return this.parents.get(entry);
  }

  name(entry: number): string {
    return entry === rootEntry ? "" : this.arena.text(this.names.get(entry));
  }

  nameBytes(entry: number): Buffer {
    return this.arena.bytes(this.names.get(entry));
  }

  /** The entries of a directory, removed ones included. */
  *all(directory: number): Generator<number> {
    for (let entry = this.firsts.get(directory); entry !== 0; entry = this.nexts.get(entry)) yield entry;
  }

  /** The live entries of a directory. */
  *children(directory: number): Generator<number> {
    for (const entry of this.all(directory)) if (this.inodes.get(entry) !== 0) yield entry;
  }
}
