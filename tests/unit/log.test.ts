/** The log on a real file: versions, triggers, archive, snapshots, one writer, and files that are no log. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import Database from "better-sqlite3";
import { fold, initialState } from "../../src/core/projection.js";
import type { Clock } from "../../src/lib/clock.js";
import { systemClock } from "../../src/lib/clock.js";
import { Log, type LogQuery } from "../../src/log/log.js";
import { event, type NewEvent, type StoredEvent, upcast, vmStream } from "../../src/model/events.js";
import { publicNet } from "../../src/model/net-policy.js";

const clock: Clock = { ...systemClock, now: () => 1_767_355_200_000 };
const cause = "request:test";

function scratch(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "banger-log-"));
  t.after(() => rmSync(directory, { recursive: true }));
  return join(directory, "banger.db");
}

function opened(t: TestContext, path = scratch(t)): Log {
  const log = Log.open(path, clock);
  t.after(() => log.close());
  return log;
}

const kill = (id: string): NewEvent => event(vmStream(id), "vm.kill_requested", {});
const record = (id: string) =>
  event("log", "log.stream_archived", { stream: vmStream(id), lastAddressIndex: 1 });

function created(id: string, name: string): NewEvent {
  const spec = { vcpu: 1, memoryMiB: 512, diskMiB: 1024, net: publicNet };
  const address = { address: "127.9.0.1", addressIndex: 1 };
  const data = {
    vmId: id,
    name,
    imageId: "debian-slim-00000000",
    spec,
    ...address,
    commandId: `command-${id}`,
  };
  return event(vmStream(id), "vm.created", data);
}

/** Does `change` to the closed file as somebody else would, without our pragmas. */
function raw(path: string, change: (db: Database.Database) => void): void {
  const db = new Database(path);
  try {
    change(db);
  } finally {
    db.close();
  }
}

/** A closed log with three VMs and a snapshot. */
function filled(t: TestContext): string {
  const path = scratch(t);
  const log = Log.open(path, clock);
  for (const id of ["a", "b", "c"]) log.append([created(id, `vm-${id}`), kill(id)], { cause });
  log.saveSnapshot(4, 1, { seq: 4 });
  log.saveSnapshot(6, 1, { seq: 6 });
  log.close();
  return path;
}

test("what is appended is numbered, and reads back the same after reopening", (t) => {
  const path = scratch(t);
  const log = Log.open(path, clock);
  const stored = log.append([created("a", "x"), kill("a"), kill("b")], { cause });
  assert.deepEqual(
    stored.map(({ seq, stream, version, at }) => ({ seq, stream, version, at })),
    [
      { seq: 1, stream: "vm/a", version: 1, at: clock.now() },
      { seq: 2, stream: "vm/a", version: 2, at: clock.now() },
      { seq: 3, stream: "vm/b", version: 1, at: clock.now() },
    ],
  );
  log.close();
  assert.deepEqual([...opened(t, path).read()], stored);
});

test("an append decided on another version is refused whole", (t) => {
  const log = opened(t);
  log.append([kill("a")], { cause, expected: { "vm/a": 0 } });
  const late = () => log.append([kill("b"), kill("a")], { cause, expected: { "vm/b": 0, "vm/a": 0 } });
  assert.throws(late, { code: "version_conflict", retry: "later" });
  assert.equal(log.lastSeq(), 1);
  assert.equal(log.lastVersion("vm/b"), 0);
});

test("a create command is in the log once", (t) => {
  const log = opened(t);
  log.append([created("a", "x")], { cause });
  const again = { ...created("b", "y"), data: created("a", "x").data } as NewEvent;
  assert.throws(() => log.append([kill("b"), again], { cause }), { code: "command_known" });
  assert.equal(log.lastSeq(), 1);
});

test("every query finds what a filter over the whole log finds", (t) => {
  const log = opened(t);
  for (let n = 0; n < 1300; n++) {
    const id = "abc".charAt(n % 3);
    log.append([n % 7 === 0 ? event(vmStream(id), "vm.disk_attached", {}) : kill(id)], { cause });
  }
  const all = [...log.read()];
  assert.equal(all.length, 1300);
  const expected = (query: LogQuery): StoredEvent[] => {
    const { after = 0, until = Number.POSITIVE_INFINITY, stream, types, limit, reverse } = query;
    const found = all.filter(
      (one) =>
        one.seq > after &&
        one.seq <= until &&
        (stream === undefined || one.stream === stream) &&
        (types === undefined || types.includes(one.type)),
    );
    return (reverse ? found.reverse() : found).slice(0, limit);
  };
  for (const stream of [{}, { stream: "vm/b" }, { stream: "vm/none" }]) {
    for (const types of [{}, { types: ["vm.disk_attached"] }, { types: [] }]) {
      for (const range of [{}, { after: 100 }, { until: 1200 }, { after: 3, until: 1299 }, { after: 5000 }]) {
        for (const rest of [
          {},
          { limit: 5 },
          { reverse: true },
          { reverse: true, limit: 600 },
          { limit: 0 },
        ]) {
          const query: LogQuery = { ...stream, ...types, ...range, ...rest };
          assert.deepEqual([...log.read(query)], expected(query), JSON.stringify(query));
        }
      }
    }
  }
});

test("a reader sees the log as it was when it began, however much is appended meanwhile", (t) => {
  const log = opened(t);
  for (let n = 0; n < 600; n++) log.append([kill("a")], { cause });
  let seen = 0;
  for (const { seq } of log.read()) {
    seen += 1;
    assert.equal(seq, seen);
    log.append([kill("a")], { cause });
  }
  assert.equal(seen, 600);
});

test("rows can neither be changed nor deleted", (t) => {
  const path = filled(t);
  raw(path, (db) => {
    for (const sql of [
      "UPDATE events SET data = '{}'",
      "DELETE FROM events",
      "DELETE FROM events WHERE stream = 'vm/a'",
      // A copy that differs in one column does not open the way either.
      `INSERT INTO archived_events SELECT seq, stream, version, type, schema, at, 'x', data FROM events;
       DELETE FROM events`,
    ]) {
      assert.throws(() => db.exec(sql), /append-only/, sql);
    }
    assert.throws(() => db.exec("DELETE FROM archived_events"), /append-only/);
    assert.throws(() => db.exec("UPDATE archived_events SET at = 0"), /append-only/);
  });
  assert.equal([...opened(t, path).read()].length, 6);
});

test("archiving moves a stream whole and leaves its record; seqs are not used twice", (t) => {
  const path = filled(t);
  const log = opened(t, path);
  const before = [...log.read({ stream: "vm/c" })];
  const stored = log.archive("vm/c", record("c"), "event:6");
  assert.equal(stored.seq, 7);
  assert.deepEqual([...log.read({ stream: "vm/c" })], []);
  assert.deepEqual([...log.readArchived("vm/c")], before);
  assert.equal(log.findArchivedVm("vm-c"), "vm/c");
  assert.equal(log.findArchivedVm("c"), "vm/c");
  assert.equal(log.findArchivedVm("vm-a"), undefined);
  assert.deepEqual(log.checkIntegrity(), []);
  assert.throws(() => log.archive("vm/c", record("c"), "event:7"), { code: "stream_unknown" });
});

test("an archiving that fails half-way changes nothing", (t) => {
  const log = opened(t, filled(t));
  const before = [...log.read()];
  const unwritable = {
    ...record("a"),
    data: { stream: "vm/a", lastAddressIndex: 1n },
  } as unknown as NewEvent;
  assert.throws(() => log.archive("vm/a", unwritable, "event:6"), TypeError);
  assert.deepEqual([...log.read()], before);
  assert.deepEqual([...log.readArchived("vm/a")], []);
});

test("the newest two snapshots are kept; garbage and other schemas are passed over", (t) => {
  const path = filled(t);
  const log = Log.open(path, clock);
  log.append([kill("a")], { cause });
  log.saveSnapshot(7, 1, { seq: 7 });
  assert.deepEqual(log.loadSnapshot(1), { seq: 7, state: { seq: 7 } });
  assert.equal(log.loadSnapshot(2), undefined);
  log.close();
  raw(path, (db) => {
    assert.deepEqual(db.prepare("SELECT seq FROM snapshots ORDER BY seq").pluck().all(), [6, 7]);
    db.exec(`UPDATE snapshots SET state = '{"seq":' WHERE seq = 7`);
    db.exec("INSERT INTO snapshots VALUES (99, 1, '{\"seq\":99}')");
  });
  const again = Log.open(path, clock);
  assert.deepEqual(again.loadSnapshot(1), { seq: 6, state: { seq: 6 } });
  again.close();
  raw(path, (db) => db.exec("UPDATE snapshots SET state = 'null'"));
  assert.equal(opened(t, path).loadSnapshot(1), undefined);
});

test("a second open of the same log is refused while the first one lasts", (t) => {
  const path = filled(t);
  const log = Log.open(path, clock);
  assert.throws(() => Log.open(path, clock), { code: "log_busy", retry: "later" });
  assert.throws(() => Log.open(path, clock, { readonly: true }), { code: "log_busy" });
  log.close();
  Log.open(path, clock).close();
});

test("a log of a newer banger is refused and left as it is", (t) => {
  const changes = [
    "PRAGMA user_version = 2",
    "INSERT INTO event_schemas VALUES ('vm.created', 99)",
    "INSERT INTO event_schemas VALUES ('vm.teleported', 1)",
  ];
  for (const change of changes) {
    const path = filled(t);
    raw(path, (db) => db.exec(change));
    const before = readFileSync(path);
    assert.throws(() => Log.open(path, clock), { code: "log_newer" }, change);
    assert.deepEqual(readFileSync(path), before, change);
  }
});

test("files that are no log of ours, or are damaged, are refused and left as they are", (t) => {
  const whole = filled(t);
  const bytes = readFileSync(whole);
  const foreign = scratch(t);
  raw(foreign, (db) => db.exec("CREATE TABLE notes (text)"));
  const files: [string, Buffer][] = [
    ["text", Buffer.from("not a database at all\n".repeat(500))],
    ["header and garbage", Buffer.concat([bytes.subarray(0, 100), Buffer.alloc(8192, 0xa5)])],
    ["another program's database", readFileSync(foreign)],
    ["cut in the middle", bytes.subarray(0, bytes.length / 2)],
  ];
  for (const [what, content] of files) {
    const path = scratch(t);
    writeFileSync(path, content);
    assert.throws(() => Log.open(path, clock), { code: "log_corrupt", hint: /\.recover/ }, what);
    assert.deepEqual(readFileSync(path), content, what);
  }
});

test("damage that opening does not see is an error when it is read, and found by the check", (t) => {
  const path = filled(t);
  let page = 0;
  raw(path, (db) => {
    page = db.prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'events'").pluck().get() as number;
  });
  const bytes = readFileSync(path);
  bytes.fill(0xa5, (page - 1) * 4096, page * 4096);
  writeFileSync(path, bytes);
  const log = opened(t, path);
  assert.throws(() => [...log.read()], { code: "log_corrupt" });
  assert.notDeepEqual(log.checkIntegrity(), []);
});

test("the check finds gaps and disorder that SQLite knows nothing of", (t) => {
  const path = filled(t);
  raw(path, (db) => {
    const insert = db.prepare(
      "INSERT INTO events VALUES (?, ?, ?, 'vm.kill_requested', 1, 0, 'request:x', ?)",
    );
    insert.run(7, "vm/a", 9, "{}");
    insert.run(-1, "vm/b", 3, "{}");
    insert.run(8, "vm/d", 1, "{");
  });
  const log = opened(t, path);
  assert.deepEqual(log.checkIntegrity(), [
    "events, vm/a: the versions have a gap",
    "events, vm/b: seq and version disagree about the order",
    "events, vm/d: the data of an event is not JSON",
  ]);
  assert.throws(() => [...log.read({ stream: "vm/d" })], { code: "log_corrupt" });
});

test("places that cannot be written are named", (t) => {
  const path = scratch(t);
  assert.throws(() => Log.open(join(path, "banger.db"), clock), { code: "home_unwritable", hint: /ls -ld/ });
  assert.throws(() => Log.open(tmpdir(), clock), { code: "home_unwritable" });
});

test("an empty file, as a crash while making it leaves one, is a new log", (t) => {
  const path = scratch(t);
  writeFileSync(path, "");
  assert.equal(opened(t, path).lastSeq(), 0);
});

test("data of an older schema is brought up one version at a time", () => {
  const old = {
    seq: 1,
    stream: "vm/a",
    version: 1,
    type: "vm.ready",
    schema: 1,
    at: 0,
    cause,
    data: { v: "1" },
  };
  const steps = {
    "vm.ready": {
      1: (data: unknown) => ({ agentVersion: (data as { v: string }).v }),
      2: (data: unknown) => ({ agent: (data as { agentVersion: string }).agentVersion }),
    },
  };
  const now = upcast(old, { "vm.ready": 3 }, steps);
  assert.deepEqual({ schema: now.schema, data: now.data }, { schema: 3, data: { agent: "1" } });
  assert.throws(() => upcast({ ...old, schema: 4 }, { "vm.ready": 3 }, steps), { code: "log_newer" });
  assert.throws(() => upcast(old, { "vm.ready": 3 }, {}), { code: "log_corrupt" });
});

const histories = new URL("../../../tests/histories/", import.meta.url);

/** The later ones have the types of events, and the schemas, that file version 1 gained. */
for (const [name, archived] of [
  ["v1", ["vm.created", "vm.delete_requested", "vm.deleted"]],
  ["v1-2", []],
  ["v1-3", []],
  ["v1-4", []],
  ["v1-5", []],
  ["v1-tries", []],
  ["v1-found", []],
  ["v1-booted", []],
  ["v1-host", []],
  ["v1-net", []],
] as const) {
  test(`the log ${name} opens, folds to what it did, and can be written on`, (t) => {
    const path = scratch(t);
    raw(path, (db) => db.exec(readFileSync(new URL(`${name}.sql`, histories), "utf8")));
    const log = opened(t, path);
    const state = JSON.parse(readFileSync(new URL(`${name}.state.json`, histories), "utf8"));
    assert.deepEqual(fold(initialState, log.read()), state);
    const types = [...log.readArchived("vm/00000001")].map(({ type }) => type);
    assert.deepEqual(types, archived);
    assert.deepEqual(log.checkIntegrity(), []);
    assert.equal(log.append([kill("00000004")], { cause })[0]?.seq, state.seq + 1);
  });
}
