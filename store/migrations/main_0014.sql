-- What the first set-up asks for, its one-time codes, and what somebody does not want to be shown any more.

ALTER TABLE organization ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE organization ADD COLUMN public_url TEXT NOT NULL DEFAULT '';
ALTER TABLE organization ADD COLUMN public_url_problem TEXT NOT NULL DEFAULT '';

CREATE TABLE setup_code (
    hash       TEXT   NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL
);

CREATE TABLE dismissal (
    account_id TEXT   NOT NULL REFERENCES account (id),
    what       TEXT   NOT NULL,
    at         BIGINT NOT NULL,
    PRIMARY KEY (account_id, what)
);

UPDATE schema_meta SET version = 14 WHERE id = 1;
