-- A file as the first release wrote it: schema 2, six events, four of them indexed.
BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'sojourn','create_tables','2026-01-01 00:00:00+00:00');
INSERT INTO "_sqlite_migrations" VALUES(2,'sojourn','create_views','2026-01-01 00:00:00+00:00');
CREATE TABLE event_index (
            session INTEGER NOT NULL,
            seq INTEGER NOT NULL,
            event INTEGER NOT NULL,
            PRIMARY KEY (session, seq)
        ) WITHOUT ROWID
        ;
INSERT INTO "event_index" VALUES(1,1,1);
INSERT INTO "event_index" VALUES(1,2,3);
INSERT INTO "event_index" VALUES(2,1,2);
INSERT INTO "event_index" VALUES(2,2,4);
CREATE TABLE event_types (code INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
INSERT INTO "event_types" VALUES(1,'session:created');
INSERT INTO "event_types" VALUES(2,'message:received');
INSERT INTO "event_types" VALUES(3,'message:failed');
INSERT INTO "event_types" VALUES(4,'session:context:updated');
INSERT INTO "event_types" VALUES(5,'session:closed');
INSERT INTO "event_types" VALUES(6,'session:reopened');
INSERT INTO "event_types" VALUES(7,'session:expired');
INSERT INTO "event_types" VALUES(8,'session:handed_over');
INSERT INTO "event_types" VALUES(9,'session:assigned');
INSERT INTO "event_types" VALUES(10,'session:released');
INSERT INTO "event_types" VALUES(11,'session:rated');
INSERT INTO "event_types" VALUES(12,'session:tagged');
INSERT INTO "event_types" VALUES(13,'dialog:expired');
INSERT INTO "event_types" VALUES(14,'reminder:set');
INSERT INTO "event_types" VALUES(15,'reminder:fired');
INSERT INTO "event_types" VALUES(16,'reminder:cancelled');
CREATE TABLE events (
            id INTEGER PRIMARY KEY,
            session INTEGER NOT NULL,
            seq INTEGER NOT NULL,
            at REAL NOT NULL,
            type INTEGER NOT NULL,
            flags INTEGER NOT NULL,
            body BLOB NOT NULL
        );
INSERT INTO "events" VALUES(1,1,1,1700000000.1,2,0,X'80');
INSERT INTO "events" VALUES(2,2,1,1700000000.1,2,0,X'80');
INSERT INTO "events" VALUES(3,1,2,1700000000.2,2,0,X'80');
INSERT INTO "events" VALUES(4,2,2,1700000000.2,2,0,X'80');
INSERT INTO "events" VALUES(5,1,3,1700000000.3,2,0,X'80');
INSERT INTO "events" VALUES(6,2,3,1700000000.3,2,0,X'80');
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO "meta" VALUES('epoch',1);
INSERT INTO "meta" VALUES('last_key',0);
INSERT INTO "meta" VALUES('watermark',4);
CREATE TABLE sessions (
            key INTEGER PRIMARY KEY,
            session_id TEXT NOT NULL UNIQUE,
            user_id TEXT,
            channel TEXT NOT NULL,
            request_key TEXT,
            resume_hash BLOB,
            created_at REAL NOT NULL,
            status TEXT NOT NULL,
            handling TEXT NOT NULL,
            queue TEXT,
            assignee TEXT,
            due_at REAL,
            seq INTEGER NOT NULL,
            snapshot BLOB
        );
INSERT INTO "sessions" VALUES(1,'s1','ada','web',NULL,NULL,1700000001.0,'active','ai',NULL,NULL,NULL,0,NULL);
INSERT INTO "sessions" VALUES(2,'s2',NULL,'web',NULL,NULL,1700000002.0,'active','ai',NULL,NULL,NULL,0,NULL);
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE INDEX sessions_by_user ON sessions (user_id, channel) WHERE user_id IS NOT NULL;
CREATE INDEX sessions_by_due_at ON sessions (due_at) WHERE due_at IS NOT NULL;
CREATE UNIQUE INDEX sessions_by_request ON sessions (request_key) WHERE request_key IS NOT NULL;
CREATE VIEW "history" AS 
        SELECT s.session_id, e.seq, strftime('%Y-%m-%dT%H:%M:%fZ', e.at, 'unixepoch') AS at, t.name AS type, e.body FROM sessions s
        JOIN event_index i ON i.session = s.key JOIN events e ON e.id = i.event
        LEFT JOIN event_types t ON t.code = e.type
        UNION ALL
        SELECT s.session_id, e.seq, strftime('%Y-%m-%dT%H:%M:%fZ', e.at, 'unixepoch') AS at, t.name AS type, e.body FROM events e
        JOIN sessions s ON s.key = e.session LEFT JOIN event_types t ON t.code = e.type
        WHERE e.id > (SELECT value FROM meta WHERE name = 'watermark');
CREATE VIEW "session_list" AS 
        SELECT session_id, user_id, channel, status, handling, queue, assignee,
            strftime('%Y-%m-%dT%H:%M:%fZ', created_at, 'unixepoch') AS created_at, strftime('%Y-%m-%dT%H:%M:%fZ', due_at, 'unixepoch') AS due_at
        FROM sessions ORDER BY key DESC;
COMMIT;
