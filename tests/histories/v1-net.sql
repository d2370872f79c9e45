-- A log of file version 1 with policies, and a network that was gone and came back; v1-net.state.json is what it folds to.
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
INSERT INTO "event_schemas" VALUES('image.pull_requested',2);
INSERT INTO "event_schemas" VALUES('image.ready',1);
INSERT INTO "event_schemas" VALUES('vm.created',2);
INSERT INTO "event_schemas" VALUES('vm.spec_changed',2);
INSERT INTO "event_schemas" VALUES('vm.start_requested',1);
INSERT INTO "event_schemas" VALUES('vm.disk_attached',1);
INSERT INTO "event_schemas" VALUES('vm.network_attached',1);
INSERT INTO "event_schemas" VALUES('vm.process_started',1);
INSERT INTO "event_schemas" VALUES('vm.ready',1);
INSERT INTO "event_schemas" VALUES('vm.network_lost',1);
INSERT INTO "event_schemas" VALUES('vm.network_restored',1);
CREATE TABLE events (seq INTEGER PRIMARY KEY AUTOINCREMENT, 
  stream TEXT NOT NULL,
  version INTEGER NOT NULL,
  type TEXT NOT NULL,
  schema INTEGER NOT NULL,
  at INTEGER NOT NULL,
  cause TEXT NOT NULL,
  data TEXT NOT NULL,
  UNIQUE (stream, version)) STRICT;
INSERT INTO "events" VALUES(1,'daemon',1,'daemon.started',1,1767355602000,'host:start','{"version":"0.2.0"}');
INSERT INTO "events" VALUES(2,'image/debian-slim-0badcafe',1,'image.pull_requested',2,1767355603000,'request:r1','{"imageId":"debian-slim-0badcafe","name":"debian-slim","source":{"kind":"catalog"}}');
INSERT INTO "events" VALUES(3,'image/debian-slim-0badcafe',2,'image.ready',1,1767355604000,'event:2','{"sizeBytes":395000000}');
INSERT INTO "events" VALUES(4,'vm/00000001',1,'vm.created',2,1767355605000,'request:r4','{"vmId":"00000001","name":"quick-tern","imageId":"debian-slim-0badcafe","spec":{"vcpu":1,"memoryMiB":512,"diskMiB":1024,"net":{"mode":"public","allow":[],"deny":[]}},"address":"127.7.0.1","addressIndex":1,"commandId":"command-1","labels":{}}');
INSERT INTO "events" VALUES(5,'vm/00000001',2,'vm.start_requested',1,1767355606000,'request:r4','{"bootTimeoutMs":180000}');
INSERT INTO "events" VALUES(6,'vm/00000001',3,'vm.disk_attached',1,1767355607000,'event:5','{}');
INSERT INTO "events" VALUES(7,'vm/00000001',4,'vm.network_attached',1,1767355608000,'event:6','{"address":"127.7.0.1"}');
INSERT INTO "events" VALUES(8,'vm/00000001',5,'vm.process_started',1,1767355609000,'event:7','{"pid":4242}');
INSERT INTO "events" VALUES(9,'vm/00000001',6,'vm.ready',1,1767355610000,'event:8','{"agent":"0.2.0"}');
INSERT INTO "events" VALUES(10,'vm/00000001',7,'vm.spec_changed',2,1767355611000,'request:r10','{"spec":{"vcpu":1,"memoryMiB":512,"diskMiB":1024,"net":{"mode":"allow","allow":["*.example.com","host:5432"],"deny":[]}}}');
INSERT INTO "events" VALUES(11,'vm/00000001',8,'vm.network_lost',1,1767355612000,'event:10','{}');
INSERT INTO "events" VALUES(12,'vm/00000001',9,'vm.network_restored',1,1767355613000,'event:11','{}');
INSERT INTO "events" VALUES(13,'vm/00000001',10,'vm.network_lost',1,1767355614000,'event:12','{}');
CREATE TABLE snapshots (seq INTEGER PRIMARY KEY, schema INTEGER NOT NULL, state TEXT NOT NULL) STRICT;
CREATE UNIQUE INDEX events_command ON events (json_extract(data, '$.commandId')) WHERE type = 'vm.created';
CREATE INDEX archived_names ON archived_events (json_extract(data, '$.name')) WHERE type = 'vm.created';
CREATE TRIGGER events_no_update BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER events_no_delete BEFORE DELETE ON events
  WHEN NOT EXISTS (SELECT 1 FROM archived_events a WHERE a.seq = OLD.seq AND a.stream = OLD.stream AND a.version = OLD.version AND a.type = OLD.type AND a.schema = OLD.schema AND a.at = OLD.at AND a.cause = OLD.cause AND a.data = OLD.data) BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER archived_no_update BEFORE UPDATE ON archived_events BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER archived_no_delete BEFORE DELETE ON archived_events BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('events',13);
COMMIT;
