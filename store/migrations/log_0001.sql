-- The log database decides nothing about jobs. It is a file of its own on SQLite and tables of the same database on
-- PostgreSQL. BYTES becomes BLOB or BYTEA.

CREATE TABLE log_schema_meta (
    id         INTEGER NOT NULL PRIMARY KEY,
    version    INTEGER NOT NULL,
    min_reader INTEGER NOT NULL
);
INSERT INTO log_schema_meta (id, version, min_reader) VALUES (1, 1, 1);

-- refused counts events that a quota kept out, differing counts pushes that contradicted what was acknowledged.
CREATE TABLE log (
    attempt_id TEXT   NOT NULL PRIMARY KEY,
    job_id     TEXT   NOT NULL,
    next_event BIGINT NOT NULL DEFAULT 0,
    bytes      BIGINT NOT NULL DEFAULT 0,
    refused    BIGINT NOT NULL DEFAULT 0,
    differing  BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    closed_at  BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX log_job ON log (job_id);

-- Events first_event .. first_event+count-1 as compressed JSON lines. Rows of one attempt never overlap and are never
-- changed.
CREATE TABLE log_chunk (
    attempt_id  TEXT   NOT NULL,
    first_event BIGINT NOT NULL,
    count       BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    data        BYTES  NOT NULL,
    PRIMARY KEY (attempt_id, first_event)
);

-- Events from_event .. to_event-1 are not there, and why.
CREATE TABLE log_gap (
    attempt_id TEXT   NOT NULL,
    from_event BIGINT NOT NULL,
    to_event   BIGINT NOT NULL,
    why        TEXT   NOT NULL,
    at         BIGINT NOT NULL,
    PRIMARY KEY (attempt_id, from_event)
);

-- Pushed events that differ from what was acknowledged before are kept here and change nothing.
CREATE TABLE log_evidence (
    id          TEXT   NOT NULL PRIMARY KEY,
    attempt_id  TEXT   NOT NULL,
    first_event BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    data        BYTES  NOT NULL
);
CREATE INDEX log_evidence_attempt ON log_evidence (attempt_id);
