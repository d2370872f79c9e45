/** Output that cannot be written ends a command: as SIGPIPE does where its reader has gone, as a failure elsewhere. */

import { Writable } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import { BangerError } from "../../lib/errors.js";
import { cleanLines, cleanStyled } from "../render/style.js";
import { Interrupted, type Interrupts } from "./interrupts.js";

type Stream = NodeJS.WriteStream;

/** Sentences for what write(2) says; else its own text. */
const causes: Readonly<Record<string, string>> = {
  ENOSPC: "no space is left",
  EDQUOT: "your disk quota is exhausted",
  EFBIG: "the file would exceed the size limit",
  EIO: "the terminal or disk has gone away",
  EBADF: "it is closed",
};

/** What ends a command whose output stream failed so. */
export function outputEnd(error: NodeJS.ErrnoException): Error {
  if (error.code === "EPIPE") return new Interrupted("SIGPIPE");
  const cause = causes[error.code ?? ""] ?? error.message;
  return new BangerError("not_written", `the output cannot be written: ${cause}`, {
    hint: "write it somewhere else; df -h shows which disks are full",
    cause: error,
  });
}

const watched = new WeakSet<Stream>();

function watch(stream: Stream, failed: (error: NodeJS.ErrnoException) => void): Stream {
  if (watched.has(stream)) return stream;
  watched.add(stream);
  return stream.on("error", failed);
}

/** Has a failure of `stream` end whatever the command waits for, so that it cleans up as after a signal. */
export const watchOutput = (stream: Stream, interrupts: Interrupts): Stream =>
  watch(stream, (error) => interrupts.end(outputEnd(error)));

/** A message that cannot be written is dropped silently; no work stops because of it. */
export const watchMessages = (stream: Stream): Stream => watch(stream, () => undefined);

/** Writes, and waits until it is written: what nobody reads or no disk takes is known before the next thing is done. */
export function write(stream: Writable, text: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(text, (error) => (error ? reject(outputEnd(error)) : resolve()));
  });
}

/** Resolves when all that was written to the stream is out, and a failure of it has been told. @throws as `write` */
export async function flushed(stream: Writable): Promise<void> {
  if (stream.writableLength > 0) await write(stream, "");
  else await new Promise((resolve) => setImmediate(resolve));
}

/** Text of banger's own as whoever reads the stream may get it: on a terminal without what it could act on. */
export const forReader = (stream: Pick<Stream, "isTTY">, text: string): string =>
  stream.isTTY === true ? cleanStyled(text) : text;

/**
 * Where bytes of a guest's go: to a terminal as clean lines, anywhere else, or with `raw`, as they are. The stream that
 * is returned is not to be ended before all is written.
 */
export function guestOutput(stdout: Stream, raw: boolean): Writable {
  if (raw || stdout.isTTY !== true) return stdout;
  const decoder = new StringDecoder("utf8");
  return new Writable({
    write(bytes: Buffer, _encoding, done) {
      stdout.write(cleanLines(decoder.write(bytes)), done);
    },
  });
}
