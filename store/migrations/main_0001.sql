-- Times are milliseconds since 1970 UTC, 0 for "not yet". Ids are UUIDs as text. BYTES becomes BLOB or BYTEA.

CREATE TABLE schema_meta (
    id         INTEGER NOT NULL PRIMARY KEY,
    version    INTEGER NOT NULL,
    min_reader INTEGER NOT NULL
);
INSERT INTO schema_meta (id, version, min_reader) VALUES (1, 1, 1);

CREATE TABLE sealed (
    name TEXT  NOT NULL PRIMARY KEY,
    data BYTES NOT NULL
);

CREATE TABLE account (
    id            TEXT   NOT NULL PRIMARY KEY,
    name          TEXT   NOT NULL,
    email         TEXT   NOT NULL DEFAULT '',
    role          TEXT   NOT NULL,
    password_hash TEXT   NOT NULL DEFAULT '',
    created_at    BIGINT NOT NULL,
    disabled_at   BIGINT NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX account_name ON account (name);

CREATE TABLE api_token (
    id           TEXT   NOT NULL PRIMARY KEY,
    account_id   TEXT   NOT NULL REFERENCES account (id),
    name         TEXT   NOT NULL,
    token_hash   TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL DEFAULT 0,
    last_used_at BIGINT NOT NULL DEFAULT 0,
    revoked_at   BIGINT NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX api_token_hash ON api_token (token_hash);

CREATE TABLE session (
    id         TEXT   NOT NULL PRIMARY KEY,
    id_hash    TEXT   NOT NULL,
    account_id TEXT   NOT NULL REFERENCES account (id),
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX session_hash ON session (id_hash);

CREATE TABLE project (
    id             TEXT   NOT NULL PRIMARY KEY,
    name           TEXT   NOT NULL,
    git_url        TEXT   NOT NULL,
    git_dir        TEXT   NOT NULL DEFAULT '',
    default_branch TEXT   NOT NULL DEFAULT '',
    pipeline_file  TEXT   NOT NULL,
    created_at     BIGINT NOT NULL,
    deleted_at     BIGINT NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX project_name ON project (name) WHERE deleted_at = 0;

CREATE TABLE git_ref (
    project_id TEXT   NOT NULL REFERENCES project (id),
    ref        TEXT   NOT NULL,
    sha        TEXT   NOT NULL,
    seen_at    BIGINT NOT NULL,
    PRIMARY KEY (project_id, ref)
);

CREATE TABLE delivery (
    project_id  TEXT   NOT NULL REFERENCES project (id),
    id          TEXT   NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (project_id, id)
);

CREATE TABLE workflow (
    id             TEXT   NOT NULL PRIMARY KEY,
    project_id     TEXT   NOT NULL REFERENCES project (id),
    number         BIGINT NOT NULL,
    ref            TEXT   NOT NULL,
    ref_type       TEXT   NOT NULL,
    branch_name    TEXT   NOT NULL,
    label          TEXT   NOT NULL,
    commit_sha     TEXT   NOT NULL,
    commit_range   TEXT   NOT NULL DEFAULT '',
    commit_message TEXT   NOT NULL DEFAULT '',
    commit_author  TEXT   NOT NULL DEFAULT '',
    triggered_by   TEXT   NOT NULL,
    requester      TEXT   NOT NULL DEFAULT '',
    request_token  TEXT   NOT NULL,
    created_at     BIGINT NOT NULL
);
CREATE UNIQUE INDEX workflow_number ON workflow (project_id, branch_name, number);
CREATE UNIQUE INDEX workflow_request ON workflow (project_id, request_token);
CREATE INDEX workflow_created ON workflow (project_id, created_at);

CREATE TABLE pipeline (
    id                TEXT   NOT NULL PRIMARY KEY,
    workflow_id       TEXT   NOT NULL REFERENCES workflow (id),
    project_id        TEXT   NOT NULL REFERENCES project (id),
    artefact_id       TEXT   NOT NULL,
    name              TEXT   NOT NULL,
    file              TEXT   NOT NULL,
    yaml              TEXT   NOT NULL,
    plan              TEXT   NOT NULL DEFAULT '',
    queue_key         TEXT   NOT NULL,
    state             TEXT   NOT NULL,
    result            TEXT   NOT NULL DEFAULT '',
    reason            TEXT   NOT NULL DEFAULT '',
    error_description TEXT   NOT NULL DEFAULT '',
    terminate         TEXT   NOT NULL DEFAULT '',
    terminate_reason  TEXT   NOT NULL DEFAULT '',
    terminated_by     TEXT   NOT NULL DEFAULT '',
    version           BIGINT NOT NULL DEFAULT 0,
    created_at        BIGINT NOT NULL,
    pending_at        BIGINT NOT NULL DEFAULT 0,
    queuing_at        BIGINT NOT NULL DEFAULT 0,
    running_at        BIGINT NOT NULL DEFAULT 0,
    stopping_at       BIGINT NOT NULL DEFAULT 0,
    done_at           BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX pipeline_workflow ON pipeline (workflow_id);
CREATE INDEX pipeline_open ON pipeline (queue_key, created_at) WHERE state <> 'done';
CREATE INDEX pipeline_project ON pipeline (project_id, created_at);

CREATE TABLE block (
    id                TEXT    NOT NULL PRIMARY KEY,
    pipeline_id       TEXT    NOT NULL REFERENCES pipeline (id),
    idx               INTEGER NOT NULL,
    name              TEXT    NOT NULL,
    dependencies      TEXT    NOT NULL,
    state             TEXT    NOT NULL,
    result            TEXT    NOT NULL DEFAULT '',
    reason            TEXT    NOT NULL DEFAULT '',
    error_description TEXT    NOT NULL DEFAULT '',
    terminate_reason  TEXT    NOT NULL DEFAULT '',
    created_at        BIGINT  NOT NULL,
    running_at        BIGINT  NOT NULL DEFAULT 0,
    done_at           BIGINT  NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX block_index ON block (pipeline_id, idx);

CREATE TABLE job (
    id             TEXT    NOT NULL PRIMARY KEY,
    block_id       TEXT    NOT NULL REFERENCES block (id),
    pipeline_id    TEXT    NOT NULL REFERENCES pipeline (id),
    workflow_id    TEXT    NOT NULL REFERENCES workflow (id),
    project_id     TEXT    NOT NULL REFERENCES project (id),
    idx            INTEGER NOT NULL,
    name           TEXT    NOT NULL,
    agent_type     TEXT    NOT NULL,
    priority       INTEGER NOT NULL,
    spec           TEXT    NOT NULL,
    state          TEXT    NOT NULL,
    result         TEXT    NOT NULL DEFAULT '',
    reason         TEXT    NOT NULL DEFAULT '',
    failure_reason TEXT    NOT NULL DEFAULT '',
    attempt_id     TEXT    NOT NULL DEFAULT '',
    attempt_n      INTEGER NOT NULL DEFAULT 0,
    created_at     BIGINT  NOT NULL,
    queued_at      BIGINT  NOT NULL,
    started_at     BIGINT  NOT NULL DEFAULT 0,
    finished_at    BIGINT  NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX job_index ON job (block_id, idx);
CREATE INDEX job_pipeline ON job (pipeline_id);
CREATE INDEX job_queue ON job (agent_type, priority DESC, queued_at, id) WHERE state = 'queued';
CREATE INDEX job_created ON job (created_at);

CREATE TABLE attempt (
    id                TEXT    NOT NULL PRIMARY KEY,
    job_id            TEXT    NOT NULL REFERENCES job (id),
    n                 INTEGER NOT NULL,
    agent_id          TEXT    NOT NULL,
    agent_name        TEXT    NOT NULL,
    state             TEXT    NOT NULL,
    result            TEXT    NOT NULL DEFAULT '',
    reason            TEXT    NOT NULL DEFAULT '',
    late_result       TEXT    NOT NULL DEFAULT '',
    offered_at        BIGINT  NOT NULL,
    fetched_at        BIGINT  NOT NULL DEFAULT 0,
    running_at        BIGINT  NOT NULL DEFAULT 0,
    ended_at          BIGINT  NOT NULL DEFAULT 0,
    stop_requested_at BIGINT  NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX attempt_number ON attempt (job_id, n);
CREATE UNIQUE INDEX attempt_open_job ON attempt (job_id) WHERE state <> 'ended';
CREATE UNIQUE INDEX attempt_open_agent ON attempt (agent_id) WHERE state <> 'ended';
CREATE INDEX attempt_offered ON attempt (offered_at) WHERE state = 'offered';

CREATE TABLE agent_type (
    id               TEXT   NOT NULL PRIMARY KEY,
    name             TEXT   NOT NULL,
    release_after_ms BIGINT NOT NULL DEFAULT 0,
    lost_after_ms    BIGINT NOT NULL DEFAULT 0,
    created_at       BIGINT NOT NULL,
    updated_at       BIGINT NOT NULL,
    deleted_at       BIGINT NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX agent_type_name ON agent_type (name) WHERE deleted_at = 0;

CREATE TABLE registration_token (
    id            TEXT   NOT NULL PRIMARY KEY,
    agent_type_id TEXT   NOT NULL REFERENCES agent_type (id),
    name          TEXT   NOT NULL,
    token_hash    TEXT   NOT NULL,
    created_at    BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL DEFAULT 0,
    revoked_at    BIGINT NOT NULL DEFAULT 0,
    last_used_at  BIGINT NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX registration_token_hash ON registration_token (token_hash);

CREATE TABLE agent (
    id             TEXT    NOT NULL PRIMARY KEY,
    agent_type_id  TEXT    NOT NULL REFERENCES agent_type (id),
    name           TEXT    NOT NULL,
    token_hash     TEXT    NOT NULL,
    state          TEXT    NOT NULL,
    version        TEXT    NOT NULL DEFAULT '',
    user_agent     TEXT    NOT NULL DEFAULT '',
    os             TEXT    NOT NULL DEFAULT '',
    arch           TEXT    NOT NULL DEFAULT '',
    hostname       TEXT    NOT NULL DEFAULT '',
    pid            BIGINT  NOT NULL DEFAULT 0,
    ip             TEXT    NOT NULL DEFAULT '',
    single_job     BOOLEAN NOT NULL DEFAULT FALSE,
    idle_timeout_s BIGINT  NOT NULL DEFAULT 0,
    grace_period_s BIGINT  NOT NULL DEFAULT 0,
    attempt_id     TEXT    NOT NULL DEFAULT '',
    job_id         TEXT    NOT NULL DEFAULT '',
    disabled_at    BIGINT  NOT NULL DEFAULT 0,
    drain_at       BIGINT  NOT NULL DEFAULT 0,
    interrupted_at BIGINT  NOT NULL DEFAULT 0,
    gone_reason    TEXT    NOT NULL DEFAULT '',
    created_at     BIGINT  NOT NULL,
    gone_at        BIGINT  NOT NULL DEFAULT 0,
    changed_at     BIGINT  NOT NULL
);
CREATE UNIQUE INDEX agent_token ON agent (token_hash);
CREATE UNIQUE INDEX agent_name ON agent (name) WHERE gone_at = 0;
CREATE INDEX agent_changed ON agent (changed_at);
CREATE INDEX agent_of_type ON agent (agent_type_id) WHERE gone_at = 0;

-- Heartbeats: written at intervals from memory, by nothing else, and never part of another row.
CREATE TABLE agent_seen (
    agent_id TEXT   NOT NULL PRIMARY KEY,
    seen_at  BIGINT NOT NULL,
    state    TEXT   NOT NULL DEFAULT ''
);

CREATE TABLE event (
    noun   TEXT    NOT NULL,
    id     TEXT    NOT NULL,
    n      INTEGER NOT NULL,
    at     BIGINT  NOT NULL,
    actor  TEXT    NOT NULL,
    reason TEXT    NOT NULL,
    detail TEXT    NOT NULL DEFAULT '',
    PRIMARY KEY (noun, id, n)
);

CREATE TABLE outbox (
    id          TEXT    NOT NULL PRIMARY KEY,
    key         TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    payload     BYTES   NOT NULL,
    created_at  BIGINT  NOT NULL,
    run_at      BIGINT  NOT NULL,
    lease_until BIGINT  NOT NULL DEFAULT 0,
    attempts    INTEGER NOT NULL DEFAULT 0,
    last_error  TEXT    NOT NULL DEFAULT '',
    done_at     BIGINT  NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX outbox_key ON outbox (key);
CREATE INDEX outbox_due ON outbox (run_at) WHERE done_at = 0;
