/** A guest's command whose end and output are told as JSON, for programs: bounded, whatever the command writes. */
import { Writable } from "node:stream";
import type { Context } from "../base/context.js";
import { joinSession, type SessionRequest, statusOf } from "./session.js";

/** Of each output so much is kept, from its beginning. */
const keptBytes = 1024 * 1024;

/** Takes in everything and keeps the first bytes, so that the command never waits. */
class Kept extends Writable {
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  truncated = false;

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    const room = keptBytes - this.#bytes;
    // A copy: a view would keep all that it was cut from.
    if (room > 0) this.#chunks.push(Buffer.from(chunk.subarray(0, room)));
    this.#bytes += Math.min(room, chunk.length);
    this.truncated ||= chunk.length > room;
    done();
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString("utf8");
  }
}

export interface Captured {
  /** As the process's own status would be. */
  status: number;
  /** The signal that ended it, by its name. */
  signal: string | null;
  durationMs: number;
  stdout: string;
  stderr: string;
  stdoutTruncated: boolean;
  stderrTruncated: boolean;
}

/** @throws BangerError as `runSession` */
export async function runCaptured(context: Context, ref: string, request: SessionRequest): Promise<Captured> {
  const [stdout, stderr] = [new Kept(), new Kept()];
  const began = context.clock.now();
  const result = await joinSession(context, ref, { ...request, tty: false }, { stdout, stderr });
  return {
    status: statusOf(result),
    signal: "signal" in result ? result.signal : null,
    durationMs: Math.round(context.clock.now() - began),
    stdout: stdout.text(),
    stderr: stderr.text(),
    stdoutTruncated: stdout.truncated,
    stderrTruncated: stderr.truncated,
  };
}
