-- The whole pipeline language: where a pipeline comes from, queues, deadlines, blocks beside those of the file, repeats.

ALTER TABLE pipeline ADD COLUMN queue TEXT NOT NULL DEFAULT '';
ALTER TABLE pipeline ADD COLUMN queue_parallel BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE pipeline ADD COLUMN auto_cancel TEXT NOT NULL DEFAULT '';
ALTER TABLE pipeline ADD COLUMN origin TEXT NOT NULL DEFAULT '';
ALTER TABLE pipeline ADD COLUMN promoted_from TEXT NOT NULL DEFAULT '';
ALTER TABLE pipeline ADD COLUMN deadline_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX pipeline_deadline ON pipeline (deadline_at) WHERE state = 'running' AND deadline_at > 0;
CREATE INDEX pipeline_initializing ON pipeline (created_at) WHERE state = 'initializing';
CREATE INDEX pipeline_promoted ON pipeline (promoted_from) WHERE promoted_from <> '';

ALTER TABLE block ADD COLUMN kind TEXT NOT NULL DEFAULT 'block';
ALTER TABLE block ADD COLUMN deadline_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX block_deadline ON block (deadline_at) WHERE state = 'running' AND deadline_at > 0;
CREATE INDEX block_after ON block (pipeline_id) WHERE kind = 'after' AND state <> 'done';

ALTER TABLE job ADD COLUMN original_id TEXT NOT NULL DEFAULT '';
ALTER TABLE job ADD COLUMN copied BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE job ADD COLUMN retries INTEGER NOT NULL DEFAULT 0;

ALTER TABLE workflow ADD COLUMN rerun_of TEXT NOT NULL DEFAULT '';

-- One row for every time a promotion was asked for. token makes asking again the same request.
CREATE TABLE promotion (
    id                  TEXT    NOT NULL PRIMARY KEY,
    pipeline_id         TEXT    NOT NULL REFERENCES pipeline (id),
    name                TEXT    NOT NULL,
    token               TEXT    NOT NULL,
    auto                BOOLEAN NOT NULL DEFAULT FALSE,
    override            BOOLEAN NOT NULL DEFAULT FALSE,
    promoted_by         TEXT    NOT NULL,
    parameters          TEXT    NOT NULL DEFAULT '',
    created_pipeline_id TEXT    NOT NULL DEFAULT '',
    error               TEXT    NOT NULL DEFAULT '',
    created_at          BIGINT  NOT NULL
);
CREATE UNIQUE INDEX promotion_token ON promotion (pipeline_id, token);
CREATE INDEX promotion_pipeline ON promotion (pipeline_id, created_at);

-- Which agent type serves the machine types of hosted products; patterns with * and ?, the first match counts.
CREATE TABLE machine_map (
    id         TEXT    NOT NULL PRIMARY KEY,
    position   INTEGER NOT NULL,
    machine    TEXT    NOT NULL,
    image      TEXT    NOT NULL DEFAULT '*',
    agent_type TEXT    NOT NULL,
    created_at BIGINT  NOT NULL
);
CREATE UNIQUE INDEX machine_map_pattern ON machine_map (machine, image);

UPDATE schema_meta SET version = 5 WHERE id = 1;
