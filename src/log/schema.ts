/** The tables of the log file, and the questions that tell whether they are sound. SQL text only. */

/** Raised when the tables change; a file above it was written by a newer banger. */
export const fileVersion = 1;
/** "bngr": tells our file from any other SQLite database. */
export const applicationId = 0x626e6772;

export const columns = "seq, stream, version, type, schema, at, cause, data";

const eventColumns = `
  stream TEXT NOT NULL,
  version INTEGER NOT NULL,
  type TEXT NOT NULL,
  schema INTEGER NOT NULL,
  at INTEGER NOT NULL,
  cause TEXT NOT NULL,
  data TEXT NOT NULL,
  UNIQUE (stream, version)`;

const sameRow = columns
  .split(", ")
  .map((column) => `a.${column} = OLD.${column}`)
  .join(" AND ");
const refuse = "BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END";

/**
 * AUTOINCREMENT, so that the seq of an archived tail is never used twice. The delete trigger lets a row go
 * only when the archive holds an equal one: that is the one path that passes it. `event_schemas` lists what
 * the log has ever held, so that an older banger can refuse it without reading every event.
 */
export const fileSchema = `
CREATE TABLE events (seq INTEGER PRIMARY KEY AUTOINCREMENT, ${eventColumns}) STRICT;
CREATE UNIQUE INDEX events_command ON events (json_extract(data, '$.commandId')) WHERE type = 'vm.created';
CREATE TABLE archived_events (seq INTEGER PRIMARY KEY, ${eventColumns}) STRICT;
CREATE INDEX archived_names ON archived_events (json_extract(data, '$.name')) WHERE type = 'vm.created';
CREATE TABLE event_schemas (type TEXT NOT NULL, schema INTEGER NOT NULL, PRIMARY KEY (type, schema)) STRICT;
CREATE TABLE snapshots (seq INTEGER PRIMARY KEY, schema INTEGER NOT NULL, state TEXT NOT NULL) STRICT;
CREATE TRIGGER events_no_update BEFORE UPDATE ON events ${refuse};
CREATE TRIGGER events_no_delete BEFORE DELETE ON events
  WHEN NOT EXISTS (SELECT 1 FROM archived_events a WHERE ${sameRow}) ${refuse};
CREATE TRIGGER archived_no_update BEFORE UPDATE ON archived_events ${refuse};
CREATE TRIGGER archived_no_delete BEFORE DELETE ON archived_events ${refuse};
PRAGMA application_id = ${applicationId};
PRAGMA user_version = ${fileVersion};
`;

/** Each yields one row, with `place`, for every stream that is not sound. */
export const integrityChecks = ["events", "archived_events"].flatMap((table) => {
  const place = `'${table}, ' || stream AS place`;
  return [
    {
      what: "the versions have a gap",
      sql: `SELECT ${place} FROM ${table} GROUP BY stream
        HAVING min(version) <> 1 OR max(version) <> count(*)`,
    },
    {
      what: "seq and version disagree about the order",
      sql: `SELECT DISTINCT ${place} FROM (
        SELECT stream, seq, lag(seq) OVER (PARTITION BY stream ORDER BY version) AS previous FROM ${table}
      ) WHERE seq <= previous`,
    },
    {
      what: "the data of an event is not JSON",
      sql: `SELECT DISTINCT ${place} FROM ${table} WHERE NOT json_valid(data)`,
    },
  ];
});
