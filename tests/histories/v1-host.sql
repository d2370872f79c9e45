-- A log of file version 1 with labels and a VM whose time was over; v1-5.state.json is what it folds to.
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
INSERT INTO "event_schemas" VALUES('vm.created',1);
INSERT INTO "event_schemas" VALUES('vm.labels_changed',1);
INSERT INTO "event_schemas" VALUES('vm.expired',1);
INSERT INTO "event_schemas" VALUES('vm.deleted',1);
CREATE TABLE events (seq INTEGER PRIMARY KEY AUTOINCREMENT, 
  stream TEXT NOT NULL,
  version INTEGER NOT NULL,
  type TEXT NOT NULL,
  schema INTEGER NOT NULL,
  at INTEGER NOT NULL,
  cause TEXT NOT NULL,
  data TEXT NOT NULL,
  UNIQUE (stream, version)) STRICT;
INSERT INTO "events" VALUES(1,'daemon',1,'daemon.started',1,1767355601000,'host:start','{"version":"0.3.0"}');
INSERT INTO "events" VALUES(2,'host',1,'host.network_wanted',1,1767355601100,'host:start','{"tapPoolSize":4,"namesPort":42069}');
INSERT INTO "events" VALUES(3,'host',2,'host.effect_failed',1,1767355602000,'event:2','{"code":"network_in_use","message":"eth1 has 172.16.0.9/24, which overlaps the guests'' network 172.16.0.0/24","hint":"set cidr and bridge_ip, then: banger system install","retry":"never","effect":"ensureBridge"}');
INSERT INTO "events" VALUES(4,'host',3,'host.network_ready',1,1767355663000,'event:3','{}');
INSERT INTO "events" VALUES(5,'daemon',2,'daemon.started',1,1767356601000,'host:start','{"version":"0.3.0"}');
INSERT INTO "events" VALUES(6,'host',4,'host.network_wanted',1,1767356601100,'host:start','{"tapPoolSize":4,"namesPort":42069}');
INSERT INTO "events" VALUES(7,'host',5,'host.network_lost',1,1767356601200,'event:6','{}');
INSERT INTO "events" VALUES(8,'host',6,'host.effect_failed',1,1767356602000,'event:7','{"code":"helper_unreachable","message":"the helper does not answer","retry":"later","effect":"ensureTapPool","untold":2}');
CREATE TABLE snapshots (seq INTEGER PRIMARY KEY, schema INTEGER NOT NULL, state TEXT NOT NULL) STRICT;
CREATE UNIQUE INDEX events_command ON events (json_extract(data, '$.commandId')) WHERE type = 'vm.created';
CREATE INDEX archived_names ON archived_events (json_extract(data, '$.name')) WHERE type = 'vm.created';
CREATE TRIGGER events_no_update BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER events_no_delete BEFORE DELETE ON events
  WHEN NOT EXISTS (SELECT 1 FROM archived_events a WHERE a.seq = OLD.seq AND a.stream = OLD.stream AND a.version = OLD.version AND a.type = OLD.type AND a.schema = OLD.schema AND a.at = OLD.at AND a.cause = OLD.cause AND a.data = OLD.data) BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER archived_no_update BEFORE UPDATE ON archived_events BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER archived_no_delete BEFORE DELETE ON archived_events BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('events',8);
COMMIT;
