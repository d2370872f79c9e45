-- A log of file version 1 with images of every source, as schema 2 of image.pull_requested has them; v1-3.state.json is what it folds to.
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
INSERT INTO "event_schemas" VALUES('image.stage_reached',1);
INSERT INTO "event_schemas" VALUES('image.ready',1);
INSERT INTO "event_schemas" VALUES('image.delete_requested',1);
INSERT INTO "event_schemas" VALUES('image.deleted',1);
INSERT INTO "event_schemas" VALUES('image.build_failed',1);
CREATE TABLE events (seq INTEGER PRIMARY KEY AUTOINCREMENT, 
  stream TEXT NOT NULL,
  version INTEGER NOT NULL,
  type TEXT NOT NULL,
  schema INTEGER NOT NULL,
  at INTEGER NOT NULL,
  cause TEXT NOT NULL,
  data TEXT NOT NULL,
  UNIQUE (stream, version)) STRICT;
INSERT INTO "events" VALUES(1,'daemon',1,'daemon.started',1,1767355601000,'host:start','{"version":"0.1.0"}');
INSERT INTO "events" VALUES(2,'image/kernel-debian-cloud-0badcafe',1,'image.pull_requested',2,1767355602000,'request:r1','{"imageId":"kernel-debian-cloud-0badcafe","name":"debian-cloud","source":{"kind":"catalog"}}');
INSERT INTO "events" VALUES(3,'image/dev-12345678',1,'image.pull_requested',2,1767355603000,'request:r1','{"imageId":"dev-12345678","name":"dev","source":{"kind":"oci","reference":"ghcr.io/acme/dev:latest","digest":"sha256:1234567812345678123456781234567812345678123456781234567812345678","sizeMiB":20480,"kernelId":"kernel-debian-cloud-0badcafe"}}');
INSERT INTO "events" VALUES(4,'image/kernel-debian-cloud-0badcafe',2,'image.stage_reached',1,1767355604000,'event:2','{"stage":"download","detail":"package lists"}');
INSERT INTO "events" VALUES(5,'image/kernel-debian-cloud-0badcafe',3,'image.ready',1,1767355605000,'event:4','{"sizeBytes":147000000}');
INSERT INTO "events" VALUES(6,'image/dev-12345678',2,'image.ready',1,1767355606000,'event:3','{"sizeBytes":330000000}');
INSERT INTO "events" VALUES(7,'image/own-0000000a',1,'image.pull_requested',2,1767355607000,'request:r2','{"imageId":"own-0000000a","name":"own","source":{"kind":"files","rootfs":"/srv/root.ext4","kernel":"/srv/vmlinux","initrd":null,"modules":null,"kernelId":null}}');
INSERT INTO "events" VALUES(8,'image/own-0000000a',2,'image.ready',1,1767355608000,'event:7','{"sizeBytes":4096}');
INSERT INTO "events" VALUES(9,'image/own-0000000b',1,'image.pull_requested',2,1767355609000,'request:r3','{"imageId":"own-0000000b","name":"own","source":{"kind":"copy","imageId":"own-0000000a"}}');
INSERT INTO "events" VALUES(10,'image/own-0000000b',2,'image.ready',1,1767355610000,'event:9','{"sizeBytes":330000000}');
INSERT INTO "events" VALUES(11,'image/own-0000000a',3,'image.delete_requested',1,1767355611000,'request:r4','{}');
INSERT INTO "events" VALUES(12,'image/own-0000000a',4,'image.deleted',1,1767355612000,'event:11','{}');
INSERT INTO "events" VALUES(13,'image/kernel-mine-0000000c',1,'image.pull_requested',2,1767355613000,'request:r5','{"imageId":"kernel-mine-0000000c","name":"mine","source":{"kind":"directory","path":"/srv/linux"}}');
INSERT INTO "events" VALUES(14,'image/kernel-mine-0000000c',2,'image.build_failed',1,1767355614000,'event:13','{"code":"kernel_unusable","message":"/srv/linux has no vmlinux, vmlinuz or bzImage","hint":"ls /srv/linux","retry":"never"}');
CREATE TABLE snapshots (seq INTEGER PRIMARY KEY, schema INTEGER NOT NULL, state TEXT NOT NULL) STRICT;
CREATE UNIQUE INDEX events_command ON events (json_extract(data, '$.commandId')) WHERE type = 'vm.created';
CREATE INDEX archived_names ON archived_events (json_extract(data, '$.name')) WHERE type = 'vm.created';
CREATE TRIGGER events_no_update BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER events_no_delete BEFORE DELETE ON events
  WHEN NOT EXISTS (SELECT 1 FROM archived_events a WHERE a.seq = OLD.seq AND a.stream = OLD.stream AND a.version = OLD.version AND a.type = OLD.type AND a.schema = OLD.schema AND a.at = OLD.at AND a.cause = OLD.cause AND a.data = OLD.data) BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER archived_no_update BEFORE UPDATE ON archived_events BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER archived_no_delete BEFORE DELETE ON archived_events BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('events',14);
COMMIT;
