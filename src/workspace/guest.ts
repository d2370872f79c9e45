/** Shell scripts in a guest, as prepare and export need them. */

import type { Duplex } from "node:stream";
import { type Readable, Writable } from "node:stream";
import type { Reconnect } from "../guest/exec-line.js";
import { ExecClient } from "../guest/exec-stream.js";
import { BangerError } from "../lib/errors.js";

export interface GuestRun {
  stdin?: Readable;
  /** Where its output goes; else nowhere. */
  stdout?: Writable;
}

export interface GuestEnd {
  status: number;
  /** The end of what it wrote there. */
  stderr: string;
}

/** Something that runs a POSIX shell script with `args` as its `$1`, `$2`, … */
export interface Guest {
  /** What the user calls it. */
  name: string;
  run(script: string, args: readonly string[], streams?: GuestRun): Promise<GuestEnd>;
}

const keptChars = 4096;

/** A writable that keeps the end of what it was given. */
export function tail(): { stream: Writable; text: () => string } {
  let kept = "";
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      kept = (kept + chunk.toString("utf8")).slice(-keptChars);
      done();
    },
  });
  return { stream, text: () => kept };
}

const nowhere = (): Writable => new Writable({ write: (_chunk, _encoding, done) => done() });

/** A guest behind the agent: `connect` asks for a command and yields the connection of its frames. */
export function guestOver(
  name: string,
  connect: (request: {
    argv: string[];
    cwd: string;
  }) => Promise<{ connection: Duplex; reconnect?: Reconnect }>,
  signal: AbortSignal,
): Guest {
  return {
    name,
    async run(script, args, { stdin, stdout = nowhere() } = {}) {
      signal.throwIfAborted();
      const stderr = tail();
      const { connection, reconnect } = await connect({
        argv: ["sh", "-c", script, "sh", ...args],
        cwd: "/",
      });
      const streams = { ...(stdin !== undefined && { stdin }), stdout, stderr: stderr.stream };
      const command = new ExecClient(connection, streams, reconnect);
      const abort = () => command.destroy();
      signal.addEventListener("abort", abort);
      try {
        const result = await command.result;
        return { status: "code" in result ? result.code : 128 + result.number, stderr: stderr.text() };
      } catch (error) {
        throw signal.aborted ? signal.reason : error;
      } finally {
        signal.removeEventListener("abort", abort);
      }
    },
  };
}

/** What a script that must succeed said instead. */
export function scriptFailed(guest: Guest, doing: string, { status, stderr }: GuestEnd): BangerError {
  const line = stderr.trim().split("\n").at(-1) ?? "";
  return new BangerError("guest_failed", `${doing} failed in the guest: ${line || `status ${status}`}`, {
    hint: `banger vm exec ${guest.name} -- df -h /root`,
  });
}
