-- Tasks: workflows that start at set times, and every time that one of them was due or asked for.

CREATE TABLE task (
    id            TEXT    NOT NULL PRIMARY KEY,
    project_id    TEXT    NOT NULL REFERENCES project (id),
    name          TEXT    NOT NULL,
    description   TEXT    NOT NULL DEFAULT '',
    recurring     BOOLEAN NOT NULL DEFAULT TRUE,
    at            TEXT    NOT NULL DEFAULT '',
    time_zone     TEXT    NOT NULL DEFAULT '',
    ref           TEXT    NOT NULL DEFAULT '',
    pipeline_file TEXT    NOT NULL DEFAULT '',
    parameters    TEXT    NOT NULL DEFAULT '',
    paused        BOOLEAN NOT NULL DEFAULT FALSE,
    paused_by     TEXT    NOT NULL DEFAULT '',
    paused_at     BIGINT  NOT NULL DEFAULT 0,
    overlap       TEXT    NOT NULL DEFAULT 'allow',
    catch_up      TEXT    NOT NULL DEFAULT 'one',
    owner         TEXT    NOT NULL DEFAULT '',
    next_run_at   BIGINT  NOT NULL DEFAULT 0,
    version       INTEGER NOT NULL DEFAULT 0,
    created_at    BIGINT  NOT NULL,
    updated_at    BIGINT  NOT NULL,
    deleted_at    BIGINT  NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX task_name ON task (project_id, name) WHERE deleted_at = 0;
CREATE INDEX task_next ON task (next_run_at) WHERE deleted_at = 0 AND next_run_at > 0;

-- token makes one run of each time that a task was due, however many servers see it. Whoever tries a run leases it.
CREATE TABLE task_run (
    id            TEXT    NOT NULL PRIMARY KEY,
    task_id       TEXT    NOT NULL REFERENCES task (id),
    project_id    TEXT    NOT NULL REFERENCES project (id),
    token         TEXT    NOT NULL,
    due_at        BIGINT  NOT NULL DEFAULT 0,
    requester     TEXT    NOT NULL DEFAULT '',
    ref           TEXT    NOT NULL DEFAULT '',
    pipeline_file TEXT    NOT NULL DEFAULT '',
    parameters    TEXT    NOT NULL DEFAULT '',
    status        TEXT    NOT NULL,
    attempts      INTEGER NOT NULL DEFAULT 0,
    workflow_id   TEXT    NOT NULL DEFAULT '',
    error         TEXT    NOT NULL DEFAULT '',
    note          TEXT    NOT NULL DEFAULT '',
    created_at    BIGINT  NOT NULL,
    run_at        BIGINT  NOT NULL,
    lease_until   BIGINT  NOT NULL DEFAULT 0,
    scheduled_at  BIGINT  NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX task_run_token ON task_run (task_id, token);
CREATE INDEX task_run_task ON task_run (task_id, created_at);
CREATE INDEX task_run_open ON task_run (run_at) WHERE status = 'running';

UPDATE schema_meta SET version = 7 WHERE id = 1;
