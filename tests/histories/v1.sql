-- A log as file version 1 with every event at schema 1 was written; v1.state.json is what it folds to.
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
INSERT INTO "archived_events" VALUES(9,'vm/00000001',1,'vm.created',1,1767355298000,'request:r4','{"vmId":"00000001","name":"brave-fox","imageId":"debian-slim-0badcafe","spec":{"vcpu":2,"memoryMiB":1024,"diskMiB":8192,"nat":true},"address":"127.77.0.1","addressIndex":1,"commandId":"command-00000001"}');
INSERT INTO "archived_events" VALUES(10,'vm/00000001',2,'vm.delete_requested',1,1767355299000,'request:r5','{}');
INSERT INTO "archived_events" VALUES(11,'vm/00000001',3,'vm.deleted',1,1767355300000,'event:10','{}');
CREATE TABLE event_schemas (type TEXT NOT NULL, schema INTEGER NOT NULL, PRIMARY KEY (type, schema)) STRICT;
INSERT INTO "event_schemas" VALUES('daemon.started',1);
INSERT INTO "event_schemas" VALUES('image.pull_requested',1);
INSERT INTO "event_schemas" VALUES('image.stage_reached',1);
INSERT INTO "event_schemas" VALUES('image.ready',1);
INSERT INTO "event_schemas" VALUES('image.build_failed',1);
INSERT INTO "event_schemas" VALUES('image.delete_requested',1);
INSERT INTO "event_schemas" VALUES('image.deleted',1);
INSERT INTO "event_schemas" VALUES('vm.created',1);
INSERT INTO "event_schemas" VALUES('vm.delete_requested',1);
INSERT INTO "event_schemas" VALUES('vm.deleted',1);
INSERT INTO "event_schemas" VALUES('vm.start_requested',1);
INSERT INTO "event_schemas" VALUES('vm.disk_attached',1);
INSERT INTO "event_schemas" VALUES('vm.network_attached',1);
INSERT INTO "event_schemas" VALUES('vm.process_started',1);
INSERT INTO "event_schemas" VALUES('vm.ready',1);
INSERT INTO "event_schemas" VALUES('vm.effect_failed',1);
INSERT INTO "event_schemas" VALUES('vm.adopted',1);
INSERT INTO "event_schemas" VALUES('vm.process_exited',1);
INSERT INTO "event_schemas" VALUES('vm.restart_requested',1);
INSERT INTO "event_schemas" VALUES('vm.shutdown_asked',1);
INSERT INTO "event_schemas" VALUES('vm.stop_requested',1);
INSERT INTO "event_schemas" VALUES('vm.kill_requested',1);
INSERT INTO "event_schemas" VALUES('vm.step_failed',1);
INSERT INTO "event_schemas" VALUES('log.stream_archived',1);
CREATE TABLE events (seq INTEGER PRIMARY KEY AUTOINCREMENT, 
  stream TEXT NOT NULL,
  version INTEGER NOT NULL,
  type TEXT NOT NULL,
  schema INTEGER NOT NULL,
  at INTEGER NOT NULL,
  cause TEXT NOT NULL,
  data TEXT NOT NULL,
  UNIQUE (stream, version)) STRICT;
INSERT INTO "events" VALUES(1,'daemon',1,'daemon.started',1,1767355201000,'daemon','{"version":"0.1.0"}');
INSERT INTO "events" VALUES(2,'image/debian-slim-0badcafe',1,'image.pull_requested',1,1767355202000,'request:r1','{"imageId":"debian-slim-0badcafe","name":"debian-slim"}');
INSERT INTO "events" VALUES(3,'image/debian-slim-0badcafe',2,'image.stage_reached',1,1767355203000,'event:2','{"stage":"packages","detail":"62 of 140"}');
INSERT INTO "events" VALUES(4,'image/debian-slim-0badcafe',3,'image.ready',1,1767355293000,'event:3','{"sizeBytes":734003200}');
INSERT INTO "events" VALUES(5,'image/tiny-00000bad',1,'image.pull_requested',1,1767355294000,'request:r2','{"imageId":"tiny-00000bad","name":"tiny"}');
INSERT INTO "events" VALUES(6,'image/tiny-00000bad',2,'image.build_failed',1,1767355295000,'event:5','{"code":"mirror_unreachable","message":"the mirror did not answer","hint":"banger doctor","retry":"later"}');
INSERT INTO "events" VALUES(7,'image/tiny-00000bad',3,'image.delete_requested',1,1767355296000,'request:r3','{}');
INSERT INTO "events" VALUES(8,'image/tiny-00000bad',4,'image.deleted',1,1767355297000,'event:7','{}');
INSERT INTO "events" VALUES(12,'vm/00000002',1,'vm.created',1,1767355301000,'request:r6','{"vmId":"00000002","name":"brisk-otter","imageId":"debian-slim-0badcafe","spec":{"vcpu":2,"memoryMiB":1024,"diskMiB":8192,"nat":true},"address":"127.77.0.2","addressIndex":2,"commandId":"command-00000002"}');
INSERT INTO "events" VALUES(13,'vm/00000002',2,'vm.start_requested',1,1767355301000,'request:r6','{"bootTimeoutMs":180000}');
INSERT INTO "events" VALUES(14,'vm/00000002',3,'vm.disk_attached',1,1767355302000,'event:13','{}');
INSERT INTO "events" VALUES(15,'vm/00000002',4,'vm.network_attached',1,1767355303000,'event:14','{"address":"127.77.0.2"}');
INSERT INTO "events" VALUES(16,'vm/00000002',5,'vm.process_started',1,1767355304000,'event:15','{"pid":4242}');
INSERT INTO "events" VALUES(17,'vm/00000002',6,'vm.ready',1,1767355312000,'event:16','{"agent":"0.1.0"}');
INSERT INTO "events" VALUES(18,'vm/00000002',7,'vm.effect_failed',1,1767355313000,'event:17','{"effect":"ensureForward","code":"port_taken","message":"127.77.0.2:80 is taken","retry":"later"}');
INSERT INTO "events" VALUES(19,'vm/00000002',8,'vm.adopted',1,1767355314000,'event:18','{"pid":4242}');
INSERT INTO "events" VALUES(20,'vm/00000002',9,'vm.process_exited',1,1767355374000,'event:19','{"reason":"lost","detail":"killed by SIGKILL"}');
INSERT INTO "events" VALUES(21,'vm/00000003',1,'vm.created',1,1767355375000,'request:r7','{"vmId":"00000003","name":"calm-crane","imageId":"debian-slim-0badcafe","spec":{"vcpu":2,"memoryMiB":1024,"diskMiB":8192,"nat":true},"address":"127.77.0.3","addressIndex":3,"commandId":"command-00000003"}');
INSERT INTO "events" VALUES(22,'vm/00000003',2,'vm.start_requested',1,1767355375000,'request:r7','{"bootTimeoutMs":180000}');
INSERT INTO "events" VALUES(23,'vm/00000003',3,'vm.disk_attached',1,1767355376000,'event:22','{}');
INSERT INTO "events" VALUES(24,'vm/00000003',4,'vm.network_attached',1,1767355377000,'event:23','{"address":"127.77.0.3"}');
INSERT INTO "events" VALUES(25,'vm/00000003',5,'vm.process_started',1,1767355378000,'event:24','{"pid":4300}');
INSERT INTO "events" VALUES(26,'vm/00000003',6,'vm.ready',1,1767355386000,'event:25','{"agent":"0.1.0"}');
INSERT INTO "events" VALUES(27,'vm/00000003',7,'vm.restart_requested',1,1767355387000,'request:r8','{"timeoutMs":30000,"bootTimeoutMs":180000}');
INSERT INTO "events" VALUES(28,'vm/00000003',8,'vm.shutdown_asked',1,1767355388000,'event:27','{}');
INSERT INTO "events" VALUES(29,'vm/00000003',9,'vm.process_exited',1,1767355392000,'event:28','{"reason":"asked","detail":"shut down as asked"}');
INSERT INTO "events" VALUES(30,'vm/00000003',10,'vm.disk_attached',1,1767355393000,'event:29','{}');
INSERT INTO "events" VALUES(31,'vm/00000003',11,'vm.network_attached',1,1767355394000,'event:30','{"address":"127.77.0.3"}');
INSERT INTO "events" VALUES(32,'vm/00000003',12,'vm.process_started',1,1767355395000,'event:31','{"pid":4400}');
INSERT INTO "events" VALUES(33,'vm/00000003',13,'vm.ready',1,1767355403000,'event:32','{"agent":"0.1.0"}');
INSERT INTO "events" VALUES(34,'vm/00000003',14,'vm.stop_requested',1,1767355404000,'request:r9','{"timeoutMs":30000}');
INSERT INTO "events" VALUES(35,'vm/00000003',15,'vm.shutdown_asked',1,1767355405000,'event:34','{}');
INSERT INTO "events" VALUES(36,'vm/00000003',16,'vm.kill_requested',1,1767355406000,'request:r10','{}');
INSERT INTO "events" VALUES(37,'vm/00000003',17,'vm.process_exited',1,1767355407000,'event:36','{"reason":"asked","detail":"killed as asked"}');
INSERT INTO "events" VALUES(38,'vm/00000003',18,'vm.start_requested',1,1767355408000,'request:r11','{"bootTimeoutMs":180000}');
INSERT INTO "events" VALUES(39,'vm/00000003',19,'vm.step_failed',1,1767355409000,'event:38','{"step":"disk","code":"disk_full","message":"no space left","hint":"df -h","retry":"later"}');
INSERT INTO "events" VALUES(40,'vm/00000004',1,'vm.created',1,1767355410000,'request:r12','{"vmId":"00000004","name":"warm-wren","imageId":"debian-slim-0badcafe","spec":{"vcpu":2,"memoryMiB":1024,"diskMiB":8192,"nat":true},"address":"127.77.0.4","addressIndex":4,"commandId":"command-00000004"}');
INSERT INTO "events" VALUES(41,'vm/00000004',2,'vm.start_requested',1,1767355410000,'request:r12','{"bootTimeoutMs":180000}');
INSERT INTO "events" VALUES(42,'vm/00000004',3,'vm.disk_attached',1,1767355411000,'event:41','{}');
INSERT INTO "events" VALUES(43,'vm/00000004',4,'vm.network_attached',1,1767355412000,'event:42','{"address":"127.77.0.4"}');
INSERT INTO "events" VALUES(44,'vm/00000004',5,'vm.process_started',1,1767355413000,'event:43','{"pid":4500}');
INSERT INTO "events" VALUES(45,'vm/00000004',6,'vm.ready',1,1767355421000,'event:44','{"agent":"0.1.0"}');
INSERT INTO "events" VALUES(46,'log',1,'log.stream_archived',1,1767355422000,'event:45','{"stream":"vm/00000001","lastAddressIndex":4}');
INSERT INTO "events" VALUES(47,'image/debian-slim-0badcafe',4,'image.damaged',1,1767355423000,'event:4','{"code":"image_damaged","message":"image debian-slim is damaged: its files are gone","hint":"banger image pull debian-slim","retry":"never"}');
CREATE TABLE snapshots (seq INTEGER PRIMARY KEY, schema INTEGER NOT NULL, state TEXT NOT NULL) STRICT;
CREATE UNIQUE INDEX events_command ON events (json_extract(data, '$.commandId')) WHERE type = 'vm.created';
CREATE INDEX archived_names ON archived_events (json_extract(data, '$.name')) WHERE type = 'vm.created';
CREATE TRIGGER events_no_update BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER events_no_delete BEFORE DELETE ON events
  WHEN NOT EXISTS (SELECT 1 FROM archived_events a WHERE a.seq = OLD.seq AND a.stream = OLD.stream AND a.version = OLD.version AND a.type = OLD.type AND a.schema = OLD.schema AND a.at = OLD.at AND a.cause = OLD.cause AND a.data = OLD.data) BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER archived_no_update BEFORE UPDATE ON archived_events BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER archived_no_delete BEFORE DELETE ON archived_events BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('events',47);
COMMIT;
