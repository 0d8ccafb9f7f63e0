-- Secrets. project_id is '' for those of the organization. The content of a version is encrypted; outline has the names
-- of its variables and files. data_key is sealed by the master key and the only column of a version that changes.

CREATE TABLE secret (
    id              TEXT    NOT NULL PRIMARY KEY,
    project_id      TEXT    NOT NULL DEFAULT '',
    name            TEXT    NOT NULL,
    description     TEXT    NOT NULL DEFAULT '',
    version         INTEGER NOT NULL,
    projects_access TEXT    NOT NULL,
    project_ids     TEXT    NOT NULL DEFAULT '',
    no_debug        BOOLEAN NOT NULL DEFAULT FALSE,
    no_attach       BOOLEAN NOT NULL DEFAULT FALSE,
    created_at      BIGINT  NOT NULL,
    updated_at      BIGINT  NOT NULL,
    used_at         BIGINT  NOT NULL DEFAULT 0,
    deleted_at      BIGINT  NOT NULL DEFAULT 0,
    deleted_by      TEXT    NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX secret_name ON secret (project_id, name) WHERE deleted_at = 0;

CREATE TABLE secret_version (
    secret_id  TEXT    NOT NULL REFERENCES secret (id),
    version    INTEGER NOT NULL,
    outline    TEXT    NOT NULL,
    data_key   BYTES   NOT NULL,
    data       BYTES   NOT NULL,
    created_at BIGINT  NOT NULL,
    PRIMARY KEY (secret_id, version)
);

-- What was handed to an attempt, in the order in which later ones win. Kept until the attempt's log is closed.
CREATE TABLE attempt_secret (
    attempt_id TEXT    NOT NULL REFERENCES attempt (id),
    idx        INTEGER NOT NULL,
    secret_id  TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    PRIMARY KEY (attempt_id, idx)
);
CREATE INDEX attempt_secret_version ON attempt_secret (secret_id, version);

UPDATE schema_meta SET version = 6 WHERE id = 1;
