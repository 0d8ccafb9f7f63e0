-- Deployment targets and every time that a promotion asked one to let it through. The variables and files of a target are
-- a secret that no list shows and no pipeline can name.

CREATE TABLE deployment_target (
    id            TEXT    NOT NULL PRIMARY KEY,
    project_id    TEXT    NOT NULL REFERENCES project (id),
    name          TEXT    NOT NULL,
    description   TEXT    NOT NULL DEFAULT '',
    url           TEXT    NOT NULL DEFAULT '',
    bookmarks     TEXT    NOT NULL DEFAULT '',
    subjects      TEXT    NOT NULL DEFAULT '',
    objects       TEXT    NOT NULL DEFAULT '',
    cordoned      BOOLEAN NOT NULL DEFAULT FALSE,
    secret_id     TEXT    NOT NULL DEFAULT '',
    version       INTEGER NOT NULL DEFAULT 0,
    created_by    TEXT    NOT NULL DEFAULT '',
    updated_by    TEXT    NOT NULL DEFAULT '',
    created_at    BIGINT  NOT NULL,
    updated_at    BIGINT  NOT NULL,
    deleted_at    BIGINT  NOT NULL DEFAULT 0,
    create_token  TEXT    NOT NULL DEFAULT '',
    delete_token  TEXT    NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX deployment_target_name ON deployment_target (project_id, name) WHERE deleted_at = 0;
CREATE UNIQUE INDEX deployment_target_token ON deployment_target (project_id, create_token) WHERE create_token <> '';

-- ord is the time in microseconds, moved on where two of one target would have the same, so that pages neither lose nor
-- repeat a row.
CREATE TABLE deployment (
    id               TEXT    NOT NULL PRIMARY KEY,
    target_id        TEXT    NOT NULL REFERENCES deployment_target (id),
    target_name      TEXT    NOT NULL,
    workflow_id      TEXT    NOT NULL,
    prev_pipeline_id TEXT    NOT NULL,
    promotion        TEXT    NOT NULL DEFAULT '',
    pipeline_id      TEXT    NOT NULL DEFAULT '',
    triggered_by     TEXT    NOT NULL,
    auto             BOOLEAN NOT NULL DEFAULT FALSE,
    ref_type         TEXT    NOT NULL,
    ref_label        TEXT    NOT NULL,
    parameters       TEXT    NOT NULL DEFAULT '',
    bookmark1        TEXT    NOT NULL DEFAULT '',
    bookmark2        TEXT    NOT NULL DEFAULT '',
    bookmark3        TEXT    NOT NULL DEFAULT '',
    state            TEXT    NOT NULL,
    message          TEXT    NOT NULL DEFAULT '',
    ord              BIGINT  NOT NULL,
    triggered_at     BIGINT  NOT NULL
);
CREATE UNIQUE INDEX deployment_order ON deployment (target_id, ord);
CREATE INDEX deployment_started ON deployment (target_id, ord) WHERE state = 'STARTED';

ALTER TABLE secret ADD COLUMN target_id TEXT NOT NULL DEFAULT '';
ALTER TABLE job ADD COLUMN target_id TEXT NOT NULL DEFAULT '';

UPDATE schema_meta SET version = 9 WHERE id = 1;
