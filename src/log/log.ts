/** The event log: the only SQL of banger. Append-only, one writer, durable before it is acknowledged. */
import Database from "better-sqlite3";
import type { Clock } from "../lib/clock.js";
import { BangerError } from "../lib/errors.js";
import { type NewEvent, type RawEvent, type StoredEvent, schemaVersions, upcast } from "../model/events.js";
import { corrupt, logError, newer, versionConflict } from "./errors.js";
import { openBusyMs, prepareFile } from "./file.js";
import { LogReserve } from "./reserve.js";
import { columns, integrityChecks } from "./schema.js";

const rowsPerPage = 512;
const snapshotsKept = 2;

export interface LogQuery {
  /** Only events with a greater seq. */
  after?: number;
  /** Only events up to this seq, itself included. */
  until?: number;
  stream?: string;
  types?: readonly string[];
  limit?: number;
  /** Newest first. */
  reverse?: boolean;
}

export interface AppendOptions {
  cause: string;
  /** Stream → last version that the caller decided on; another one is `version_conflict`. */
  expected?: Readonly<Record<string, number>>;
}

type Row = Omit<RawEvent, "data"> & { data: string };

export class Log {
  readonly #db: Database.Database;
  readonly #path: string;
  readonly #clock: Clock;
  readonly #reserve: LogReserve;
  readonly #statements = new Map<string, Database.Statement<unknown[]>>();
  /** `type schema` pairs that the file already lists. */
  readonly #listed = new Set<string>();

  private constructor(db: Database.Database, path: string, clock: Clock, reserve: LogReserve) {
    this.#reserve = reserve;
    this.#db = db;
    this.#path = path;
    this.#clock = clock;
  }

  /**
   * Opens or makes the log at `path`; its directory must be there. The kernel lock that this takes is what
   * makes a daemon the only one of its home. A file that cannot be used is left as it is.
   * @throws BangerError `log_busy`, `log_corrupt`, `log_newer`, `home_unwritable`, `disk_full`
   */
  static open(path: string, clock: Clock, { readonly = false }: { readonly?: boolean } = {}): Log {
    const reserve = new LogReserve(path);
    try {
      return Log.#openOnce(path, clock, readonly, reserve);
    } catch (thrown) {
      const error = logError(path, thrown);
      if (readonly || !isFull(error) || !reserve.giveUp()) throw error;
      return Log.#openOnce(path, clock, readonly, reserve);
    }
  }

  static #openOnce(path: string, clock: Clock, readonly: boolean, reserve: LogReserve): Log {
    let db: Database.Database | undefined;
    try {
      db = new Database(path, { readonly, fileMustExist: readonly, timeout: openBusyMs });
      prepareFile(db, path, readonly);
      const log = new Log(db, path, clock, reserve);
      log.#checkSchemas();
      return log;
    } catch (thrown) {
      db?.close();
      throw logError(path, thrown);
    }
  }

  /** Takes up the space again that a full disk made the log give up; call it now and then. */
  keepReserve(): void {
    this.#reserve.keep();
  }

  /**
   * Appends all events or none, in one durable transaction, and gives them back as a reader will see them.
   * @throws BangerError `version_conflict`, `command_known` (a create with this command id is in the log),
   *   `disk_full`, `log_io`
   */
  append(events: readonly NewEvent[], options: AppendOptions): StoredEvent[] {
    const stored = this.#write(() => {
      for (const [stream, version] of Object.entries(options.expected ?? {})) {
        const found = this.lastVersion(stream);
        if (found !== version) throw versionConflict(stream, version, found);
      }
      const at = this.#clock.now();
      return events.map((event) => this.#insert(event, at, options.cause));
    });
    for (const { type, schema } of stored) this.#listed.add(`${type} ${schema}`);
    return stored;
  }

  /**
   * The events that the log has now, in seq order, at the present schema. Read page by page, so that a slow
   * reader holds up nobody and the log may be appended to while it reads.
   */
  *read(query: LogQuery = {}): IterableIterator<StoredEvent> {
    const { after = 0, stream, types, reverse = false } = query;
    const until = Math.min(query.until ?? Number.POSITIVE_INFINITY, this.lastSeq());
    // Within a stream the version orders as the seq does, and has the index.
    const key = stream === undefined ? "seq" : "version";
    const [comparison, direction] = reverse ? ["<", "DESC"] : [">", "ASC"];
    const ofStream = stream === undefined ? "" : "AND stream = @stream";
    const ofTypes = types === undefined ? "" : "AND type IN (SELECT value FROM json_each(@types))";
    const sql = `SELECT ${columns} FROM events
      WHERE ${key} ${comparison} @cursor ${ofStream} AND +seq > @after AND +seq <= @until ${ofTypes}
      ORDER BY ${key} ${direction} LIMIT @page`;
    const start = reverse ? until + 1 : after;
    let cursor = stream === undefined ? start : reverse ? Number.MAX_SAFE_INTEGER : 0;
    let left = query.limit ?? Number.MAX_SAFE_INTEGER;
    while (left > 0) {
      const page = Math.min(left, rowsPerPage);
      const named = { cursor, after, until, page, stream, types: JSON.stringify(types ?? []) };
      const rows = this.#all<Row>(sql, named);
      for (const row of rows) yield this.#upcast(row);
      const last = rows.at(-1);
      if (last === undefined || rows.length < page) return;
      cursor = last[key];
      left -= rows.length;
    }
  }

  /** Seq of the newest event, 0 in an empty log. */
  lastSeq(): number {
    return this.#number("SELECT coalesce(max(seq), 0) AS n FROM events");
  }

  /** Version of the newest event of the stream, 0 when it has none. */
  lastVersion(stream: string): number {
    return this.#number("SELECT coalesce(max(version), 0) AS n FROM events WHERE stream = ?", stream);
  }

  /** Keeps `state` as the fold of everything up to `seq`; only the newest two are kept. */
  saveSnapshot(seq: number, schema: number, state: unknown): void {
    this.#write(() => {
      this.#run("INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?)", seq, schema, JSON.stringify(state));
      this.#run(
        "DELETE FROM snapshots WHERE seq NOT IN (SELECT seq FROM snapshots ORDER BY seq DESC LIMIT ?)",
        snapshotsKept,
      );
    });
  }

  /** The newest usable snapshot of this schema. A garbled one is passed over: the log can be folded anew. */
  loadSnapshot(schema: number): { seq: number; state: unknown } | undefined {
    const rows = this.#all<{ seq: number; state: string }>(
      "SELECT seq, state FROM snapshots WHERE schema = ? AND seq <= ? ORDER BY seq DESC",
      schema,
      this.lastSeq(),
    );
    for (const { seq, state } of rows) {
      const parsed = parseJson(state) as { seq?: unknown } | null | undefined;
      if (parsed?.seq === seq) return { seq, state: parsed };
    }
    return undefined;
  }

  /**
   * Moves a stream to the archive and appends `record`, in one transaction.
   * @throws BangerError `stream_unknown` for a stream without events
   */
  archive(stream: string, record: NewEvent, cause: string): StoredEvent {
    return this.#write(() => {
      const total = this.#number("SELECT count(*) AS n FROM events WHERE stream = ?", stream);
      if (total === 0) throw new BangerError("stream_unknown", `the log has no stream ${stream}`);
      const copy = `INSERT INTO archived_events (${columns}) SELECT ${columns} FROM events WHERE stream = ?`;
      const copied = this.#run(copy, stream);
      // The delete trigger compares each row with its copy.
      const deleted = this.#run("DELETE FROM events WHERE stream = ?", stream);
      if (copied !== total || deleted !== total) {
        throw corrupt(this.#path, `${stream}: ${total} events, ${copied} copied, ${deleted} deleted`);
      }
      return this.#insert(record, this.#clock.now(), cause);
    });
  }

  /** The events of an archived stream, oldest first. */
  *readArchived(stream: string): IterableIterator<StoredEvent> {
    const sql = `SELECT ${columns} FROM archived_events WHERE stream = ? ORDER BY version`;
    for (const row of this.#all<Row>(sql, stream)) yield this.#upcast(row);
  }

  /** The stream of the archived VM with this id or name; of several with one name the newest. */
  findArchivedVm(ref: string): string | undefined {
    const [found] = this.#all<{ stream: string }>(
      `SELECT stream FROM archived_events WHERE type = 'vm.created'
        AND (stream = 'vm/' || @ref OR json_extract(data, '$.name') = @ref) ORDER BY seq DESC LIMIT 1`,
      { ref },
    );
    return found?.stream;
  }

  /** Looks at the whole file; slow on a big one. One sentence for each fault, none for a sound log. */
  checkIntegrity(): string[] {
    try {
      const rows = this.#all<{ integrity_check: string }>("PRAGMA integrity_check");
      const faults = rows.map((row) => row.integrity_check).filter((text) => text !== "ok");
      if (faults.length > 0) return faults;
      return integrityChecks.flatMap(({ sql, what }) =>
        this.#all<{ place: string }>(sql).map(({ place }) => `${place}: ${what}`),
      );
    } catch (thrown) {
      if (thrown instanceof BangerError && thrown.code === "log_corrupt") return [thrown.message];
      throw thrown;
    }
  }

  close(): void {
    this.#db.close();
  }

  #insert(event: NewEvent, at: number, cause: string): StoredEvent {
    const { stream, type } = event;
    const version = this.lastVersion(stream) + 1;
    const schema = schemaVersions[type];
    const data = JSON.stringify(event.data);
    if (!this.#listed.has(`${type} ${schema}`)) {
      this.#run("INSERT OR IGNORE INTO event_schemas (type, schema) VALUES (?, ?)", type, schema);
    }
    const insert = this.#statement(
      "INSERT INTO events (stream, version, type, schema, at, cause, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
    );
    const seq = Number(insert.run(stream, version, type, schema, at, cause, data).lastInsertRowid);
    // Parsed back, so that the live fold sees exactly what a replay will see.
    return { seq, stream, version, type, schema, at, cause, data: JSON.parse(data) } as StoredEvent;
  }

  /** Refuses a log with any event that this version cannot read, however far back it lies. */
  #checkSchemas(): void {
    const known: Readonly<Record<string, number>> = schemaVersions;
    const listed = this.#all<{ type: string; schema: number }>("SELECT type, schema FROM event_schemas");
    for (const { type, schema } of listed) {
      if (schema > (known[type] ?? 0)) throw newer(this.#path, `${type}, schema ${schema}`);
      this.#listed.add(`${type} ${schema}`);
    }
  }

  #upcast(row: Row): StoredEvent {
    const data = parseJson(row.data);
    if (data === undefined) throw corrupt(this.#path, `the data of event ${row.seq} is not JSON`);
    return upcast({ ...row, data });
  }

  #write<T>(body: () => T): T {
    try {
      return this.#db.transaction(body).immediate();
    } catch (thrown) {
      if (/UNIQUE.*events_command/.test((thrown as Error).message)) {
        throw new BangerError("command_known", "the log already has a VM of this create command");
      }
      const error = logError(this.#path, thrown);
      if (isFull(error) && this.#reserve.giveUp()) return this.#write(body);
      throw error;
    }
  }

  #statement(sql: string): Database.Statement<unknown[]> {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const statement = this.#db.prepare<unknown[]>(sql);
    this.#statements.set(sql, statement);
    return statement;
  }

  #run(sql: string, ...values: unknown[]): number {
    return this.#statement(sql).run(...values).changes;
  }

  #all<R>(sql: string, ...values: unknown[]): R[] {
    try {
      return this.#statement(sql).all(...values) as R[];
    } catch (thrown) {
      throw logError(this.#path, thrown);
    }
  }

  #number(sql: string, ...values: unknown[]): number {
    return this.#all<{ n: number }>(sql, ...values)[0]?.n ?? 0;
  }
}

const isFull = (error: unknown): boolean => error instanceof BangerError && error.code === "disk_full";

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
