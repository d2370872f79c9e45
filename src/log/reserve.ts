/** A file beside the log that only takes up space: released on a full disk, so that the log can still say so. */
import { closeSync, existsSync, fsyncSync, openSync, rmSync, writeSync } from "node:fs";

/** Some hundred events, and the write-ahead log's own growth. */
const reserveBytes = 1024 * 1024;

export class LogReserve {
  readonly #path: string;

  constructor(logPath: string) {
    this.#path = `${logPath}.reserve`;
  }

  /** Takes the space up where it is not taken yet; a disk without room for it is not an error here. */
  keep(): void {
    if (existsSync(this.#path)) return;
    try {
      const file = openSync(this.#path, "wx", 0o600);
      try {
        writeSync(file, Buffer.alloc(reserveBytes));
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
    } catch {
      rmSync(this.#path, { force: true });
    }
  }

  /** Whether there was space to give up. */
  giveUp(): boolean {
    if (!existsSync(this.#path)) return false;
    rmSync(this.#path);
    return true;
  }
}
