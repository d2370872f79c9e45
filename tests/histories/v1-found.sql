-- A log of file version 1 with images that lay there; v1-found.state.json is what it folds to.
-- Never edited: a later banger must go on opening it.
PRAGMA application_id = 1651402610;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE archived_events (seq INTEGER PRIMARY KEY, 
  stream TEXT NOT NULL,
  version INTEGER NOT NULL,
  type TEXT NOT NULL,
  schema INTEGER NOT NULL,
  at INTEGER NOT NULL,
  cause TEXT NOT NULL,
  data TEXT NOT NULL,
  UNIQUE (stream, version)) STRICT;
CREATE TABLE event_schemas (type TEXT NOT NULL, schema INTEGER NOT NULL, PRIMARY KEY (type, schema)) STRICT;
INSERT INTO "event_schemas" VALUES('daemon.started',1);
INSERT INTO "event_schemas" VALUES('image.found',1);
INSERT INTO "event_schemas" VALUES('image.deleted',1);
INSERT INTO "event_schemas" VALUES('vm.created',1);
CREATE TABLE events (seq INTEGER PRIMARY KEY AUTOINCREMENT, 
  stream TEXT NOT NULL,
  version INTEGER NOT NULL,
  type TEXT NOT NULL,
  schema INTEGER NOT NULL,
  at INTEGER NOT NULL,
  cause TEXT NOT NULL,
  data TEXT NOT NULL,
  UNIQUE (stream, version)) STRICT;
INSERT INTO "events" VALUES(1,'daemon',1,'daemon.started',1,1767355601000,'host:start','{"version":"0.2.0"}');
INSERT INTO "events" VALUES(2,'image/debian-slim-0badcafe',1,'image.found',1,1767355602000,'event:1','{"imageId":"debian-slim-0badcafe","name":"debian-slim","sizeBytes":395000000,"source":{"kind":"catalog"},"builtAt":1767350000000}');
INSERT INTO "events" VALUES(3,'image/web-0123abcd',1,'image.found',1,1767355603000,'event:2','{"imageId":"web-0123abcd","name":"web","sizeBytes":80000000,"source":{"kind":"oci","reference":"registry.example/web:1","digest":"sha256:0123abcd0123abcd0123abcd0123abcd0123abcd0123abcd0123abcd0123abcd","sizeMiB":null,"kernelId":"kernel-own-00000001"},"builtAt":1767350500000}');
INSERT INTO "events" VALUES(4,'image/web-0123abcd',2,'image.deleted',1,1767355604000,'event:3','{}');
INSERT INTO "events" VALUES(5,'image/debian-slim-0badcafe',2,'image.deleted',1,1767355605000,'event:2','{}');
INSERT INTO "events" VALUES(6,'image/debian-slim-0badcafe',3,'image.found',1,1767355606000,'event:5','{"imageId":"debian-slim-0badcafe","name":"debian-slim","sizeBytes":395000000,"source":{"kind":"catalog"},"builtAt":1767355600000}');
INSERT INTO "events" VALUES(7,'vm/00000002',1,'vm.created',1,1767355607000,'request:r8','{"vmId":"00000002","name":"long-heron","imageId":"debian-slim-0badcafe","spec":{"vcpu":1,"memoryMiB":512,"diskMiB":1024,"nat":true},"address":"127.7.0.2","addressIndex":2,"commandId":"command-2","labels":{"ci":""},"ttlMs":86400000}');
CREATE TABLE snapshots (seq INTEGER PRIMARY KEY, schema INTEGER NOT NULL, state TEXT NOT NULL) STRICT;
CREATE UNIQUE INDEX events_command ON events (json_extract(data, '$.commandId')) WHERE type = 'vm.created';
CREATE INDEX archived_names ON archived_events (json_extract(data, '$.name')) WHERE type = 'vm.created';
CREATE TRIGGER events_no_update BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER events_no_delete BEFORE DELETE ON events
  WHEN NOT EXISTS (SELECT 1 FROM archived_events a WHERE a.seq = OLD.seq AND a.stream = OLD.stream AND a.version = OLD.version AND a.type = OLD.type AND a.schema = OLD.schema AND a.at = OLD.at AND a.cause = OLD.cause AND a.data = OLD.data) BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER archived_no_update BEFORE UPDATE ON archived_events BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER archived_no_delete BEFORE DELETE ON archived_events BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('events',7);
COMMIT;
