/** Bytes that are kept: copies with memory of their own, and queues that hold little more than what is in them. */

/**
 * A copy that keeps nothing else alive. A view keeps all that it was cut from, and a small Buffer shares its memory
 * with others: a sender who chooses what comes between could make one kept byte hold tens of thousands.
 */
export function ownCopy(bytes: Uint8Array): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  copy.set(bytes);
  return copy;
}

const blockBytes = 16_384;

/** Bytes in their order, in blocks of their own: it never holds more than it has, rounded up to a block. */
export class ByteQueue {
  #full: Buffer[] = [];
  #last: Buffer | undefined;
  #used = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Copies the bytes to the end. */
  add(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      this.#last ??= Buffer.allocUnsafeSlow(blockBytes);
      const part = bytes.subarray(at, at + blockBytes - this.#used);
      this.#last.set(part, this.#used);
      this.#used += part.length;
      at += part.length;
      if (this.#used === blockBytes) {
        this.#full.push(this.#last);
        this.#last = undefined;
        this.#used = 0;
      }
    }
    this.#length += bytes.length;
  }

  /** Takes some bytes from the front; undefined when there are none. */
  take(): Buffer | undefined {
    const first = this.#full.shift() ?? this.#takeLast();
    this.#length -= first?.length ?? 0;
    return first;
  }

  /** Everything, in one piece. */
  takeAll(): Buffer {
    const all = Buffer.allocUnsafeSlow(this.#length);
    let at = 0;
    for (let part = this.take(); part !== undefined; part = this.take()) at += part.copy(all, at);
    return all;
  }

  clear(): void {
    this.#full = [];
    this.#last = undefined;
    this.#used = 0;
    this.#length = 0;
  }

  #takeLast(): Buffer | undefined {
    if (this.#last === undefined || this.#used === 0) return undefined;
    const filled = this.#last.subarray(0, this.#used);
    this.#used = 0;
    // The block goes along only where it is mostly full; else it is filled again.
    if (filled.length < blockBytes / 2) return ownCopy(filled);
    this.#last = undefined;
    return filled;
  }
}
