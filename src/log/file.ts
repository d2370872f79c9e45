/** The log's file: locked, recognized or made, before anything is read from it. */
import type Database from "better-sqlite3";
import { corrupt, newer } from "./errors.js";
import { applicationId, fileSchema, fileVersion } from "./schema.js";

/** A second daemon gives up at once; the first one waits for it to be gone. */
export const openBusyMs = 100;
const ownerBusyMs = 5000;

/** Takes the lock, then makes a new file or recognizes an old one; only a new or sound file is written to. */
export function prepareFile(db: Database.Database, path: string, readonly: boolean): void {
  const number = (pragma: string) => Number(db.pragma(pragma, { simple: true }));
  if (!readonly) {
    db.pragma("locking_mode = EXCLUSIVE");
    // Of two that open a new file at once, one must win: only one can hold the reserved lock. The other one
    // still reads the file until it gives up, and the commit, which writes a new file's first page, waits for that.
    db.exec(`BEGIN IMMEDIATE; PRAGMA busy_timeout = ${ownerBusyMs}; COMMIT;`);
  }
  const version = number("user_version");
  const empty = number("schema_version") === 0;
  if (empty ? readonly : number("application_id") !== applicationId) {
    throw corrupt(path, "it is a database, but not a log of banger");
  }
  if (version > fileVersion) throw newer(path, `file version ${version}`);
  if (readonly) return;
  db.pragma("journal_mode = WAL");
  db.pragma("synchronous = FULL");
  if (empty) db.transaction(() => db.exec(fileSchema)).immediate();
}
