/** Endless reads with nothing buffered: the event log after a seq, and a log file as it grows. */
import { type FileHandle, open } from "node:fs/promises";
import type { Clock } from "../lib/clock.js";
import type { Ledger } from "../log/ledger.js";
import type { StoredEvent } from "../model/events.js";

export interface EventFilter {
  after: number;
  stream?: string;
  /** RFC 3339 times compare as numbers: only events at or after it, in ms since the epoch. */
  sinceMs?: number;
  /** Glob over the type: `*` stands for any text. */
  type?: string;
  limit?: number;
  cause?: string;
}

const batch = 500;

/** A matcher for a glob in which only `*` is special. */
export function globMatcher(glob: string): (text: string) => boolean {
  const parts = glob.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  const pattern = new RegExp(`^${parts.join(".*")}$`);
  return (text) => pattern.test(text);
}

/**
 * The events that match, in their order; with `follow` those to come as well, until `signal` aborts.
 * Reads the log anew at each wake-up, so a slow reader costs no memory.
 */
export async function* followEvents(
  ledger: Ledger,
  filter: EventFilter,
  follow: boolean,
  signal: AbortSignal,
): AsyncGenerator<StoredEvent> {
  const matches = filter.type === undefined ? () => true : globMatcher(filter.type);
  const commits = watchCommits(ledger, signal);
  let { after } = filter;
  let left = filter.limit ?? Number.POSITIVE_INFINITY;
  try {
    while (!signal.aborted) {
      const query = { after, limit: batch, ...(filter.stream !== undefined && { stream: filter.stream }) };
      let count = 0;
      for (const event of ledger.log.read(query)) {
        count += 1;
        after = event.seq;
        if (event.at < (filter.sinceMs ?? 0) || !matches(event.type)) continue;
        if (filter.cause !== undefined && event.cause !== filter.cause) continue;
        yield event;
        left -= 1;
        if (left <= 0 || signal.aborted) return;
      }
      if (count === batch) continue;
      if (!follow) return;
      await commits.next();
    }
  } finally {
    commits.stop();
  }
}

/** `next` resolves when something was committed since it last resolved, or when `signal` aborts. */
function watchCommits(ledger: Ledger, signal: AbortSignal): { next(): Promise<void>; stop(): void } {
  let changed = false;
  let resolve: (() => void) | undefined;
  const wake = () => {
    changed = true;
    resolve?.();
  };
  const unlisten = ledger.onCommit(wake);
  signal.addEventListener("abort", wake);
  return {
    async next() {
      if (!changed) await new Promise<void>((done) => (resolve = done));
      changed = false;
    },
    stop() {
      unlisten();
      signal.removeEventListener("abort", wake);
    },
  };
}

const chunkBytes = 65_536;
const pollMs = 250;

/** Where the last `lines` lines of the file begin. */
async function tailOffset(file: FileHandle, sizeBytes: number, lines: number): Promise<number> {
  const chunk = Buffer.alloc(chunkBytes);
  let wanted = lines + 1;
  for (let end = sizeBytes; end > 0; ) {
    const start = Math.max(0, end - chunkBytes);
    const { bytesRead } = await file.read(chunk, 0, end - start, start);
    for (let at = bytesRead - 1; at >= 0; at--) {
      // The newline that ends the file ends its last line; it does not begin another one.
      if (chunk[at] !== 10 || start + at === sizeBytes - 1) continue;
      wanted -= 1;
      if (wanted === 1) return start + at + 1;
    }
    end = start;
  }
  return 0;
}

/** Where the last lines of what is there now begin. */
export async function tailBegin(path: string, lines: number): Promise<number> {
  const file = await open(path, "r").catch(() => undefined);
  if (file === undefined) return 0;
  try {
    const { size } = await file.stat();
    return lines === 0 ? size : await tailOffset(file, size, lines);
  } finally {
    await file.close();
  }
}

export interface FileFollow {
  follow: boolean;
  /** Without so many bytes of its beginning; a file that is shorter was cut, and is read from there. */
  from: number;
}

/** The bytes of a file; with `follow` those to come as well. A missing file is an empty one. */
export async function* followFile(
  path: string,
  { follow, from }: FileFollow,
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  let offset = from;
  while (!signal.aborted) {
    const file = await open(path, "r").catch(() => undefined);
    if (file !== undefined) {
      try {
        const { size } = await file.stat();
        if (size < offset) offset = 0;
        while (offset < size && !signal.aborted) {
          // No more memory than there are bytes: a reader that is slow keeps many of these.
          const room = Math.min(chunkBytes, size - offset);
          const { bytesRead, buffer } = await file.read(Buffer.alloc(room), 0, room, offset);
          if (bytesRead === 0) break;
          offset += bytesRead;
          yield buffer.subarray(0, bytesRead);
        }
      } finally {
        await file.close();
      }
    }
    if (!follow) return;
    await new Promise<void>((resolve) => clock.after(pollMs, resolve));
  }
}
