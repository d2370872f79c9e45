/** The input of a command: the terminal only while this process may read it, and every failure to read is an error. */
import { closeSync, createReadStream, fstatSync, openSync, readSync } from "node:fs";
import { Readable } from "node:stream";
import type { Clock, Timer } from "../../lib/clock.js";

const lookEveryMs = 200;

/** Process group and the group that its terminal belongs to (fields 5 and 8), from /proc/PID/stat. */
export function groupsOf(stat: string): { own: number; foreground: number } {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { own: Number(fields[2]), foreground: Number(fields[5]) };
}

/** Whether the shell has given its terminal to this process, or there is none that anybody could give. */
export function inForeground(): boolean {
  const file = openSync("/proc/self/stat", "r");
  try {
    const bytes = Buffer.alloc(4096);
    const { own, foreground } = groupsOf(bytes.toString("latin1", 0, readSync(file, bytes)));
    return foreground <= 0 || own === foreground;
  } finally {
    closeSync(file);
  }
}

/** Node has an empty stream for what it does not know; a read of a directory must fail, that of a disk must not. */
export function standardInput(): NodeJS.ReadStream {
  const kind = fstatSync(0);
  if (!kind.isDirectory() && !kind.isBlockDevice()) return process.stdin;
  return createReadStream("", { fd: 0, autoClose: false }) as unknown as NodeJS.ReadStream;
}

/**
 * A terminal's input that leaves the terminal alone while this process is in the background: a read there would stop it
 * (SIGTTIN), and it was continued. In the foreground again it keeps reading.
 */
export class TerminalInput extends Readable {
  readonly #terminal: NodeJS.ReadStream;
  readonly #clock: Pick<Clock, "after">;
  readonly #mayRead: () => boolean;
  #wanted = false;
  #timer: Timer | undefined;
  readonly #look = () => this.#follow();

  constructor(terminal: NodeJS.ReadStream, clock: Pick<Clock, "after">, mayRead = inForeground) {
    super({ highWaterMark: 0 });
    this.#terminal = terminal;
    this.#clock = clock;
    this.#mayRead = mayRead;
    // A listener alone would make it flow.
    terminal.pause();
    terminal.on("data", (bytes: Buffer) => {
      this.#wanted = false;
      if (!this.push(bytes)) terminal.pause();
    });
    terminal.once("end", () => this.push(null));
    terminal.once("error", (error) => this.destroy(error));
    process.on("SIGCONT", this.#look);
  }

  override _read(): void {
    this.#wanted = true;
    this.#follow();
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    process.off("SIGCONT", this.#look);
    this.#timer?.cancel();
    this.#terminal.pause();
    callback(error);
  }

  #follow(): void {
    this.#timer?.cancel();
    if (!this.#wanted || this.destroyed) return;
    if (this.#mayRead()) this.#terminal.resume();
    else this.#terminal.pause();
    // Nothing tells a process that its group has changed places.
    this.#timer = this.#clock.after(lookEveryMs, this.#look);
  }
}
