-- People: links with which somebody chooses a password, and where accounts are signed in.

CREATE TABLE password_link (
    account_id TEXT   NOT NULL PRIMARY KEY REFERENCES account (id),
    hash       TEXT   NOT NULL,
    created_by TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX password_link_hash ON password_link (hash);

ALTER TABLE account ADD COLUMN signed_in_at BIGINT NOT NULL DEFAULT 0;

ALTER TABLE session ADD COLUMN browser TEXT NOT NULL DEFAULT '';
ALTER TABLE session ADD COLUMN address TEXT NOT NULL DEFAULT '';
CREATE INDEX session_account ON session (account_id, created_at);
CREATE INDEX api_token_account ON api_token (account_id, created_at);

UPDATE schema_meta SET version = 16 WHERE id = 1;
