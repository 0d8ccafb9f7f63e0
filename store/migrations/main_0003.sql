-- Files that jobs push. The content lies outside of the database, under the blob's hash and id.

CREATE TABLE artifact_blob (
    id           TEXT   NOT NULL PRIMARY KEY,
    sha256       TEXT   NOT NULL,
    size         BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    unused_since BIGINT NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX artifact_blob_hash ON artifact_blob (sha256);
CREATE INDEX artifact_blob_unused ON artifact_blob (unused_since) WHERE unused_since > 0;

CREATE TABLE artifact (
    id         TEXT   NOT NULL PRIMARY KEY,
    project_id TEXT   NOT NULL REFERENCES project (id),
    scope      TEXT   NOT NULL,
    scope_id   TEXT   NOT NULL,
    path       TEXT   NOT NULL,
    blob_id    TEXT   NOT NULL REFERENCES artifact_blob (id),
    job_id     TEXT   NOT NULL,
    attempt_id TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX artifact_path ON artifact (scope, scope_id, path);
CREATE INDEX artifact_content ON artifact (blob_id);
CREATE INDEX artifact_project ON artifact (project_id, created_at);

UPDATE schema_meta SET version = 3 WHERE id = 1;
