-- Agent types: names from AWS, which projects may use them, forked code. Registration tokens: from where, how often, last use.
-- Registrations that were turned away. A token with a limit has "limited:" before its hash, so that a program that does not
-- know limits does not know the token either.

ALTER TABLE agent_type ADD COLUMN name_origin TEXT NOT NULL DEFAULT '';
ALTER TABLE agent_type ADD COLUMN aws_account TEXT NOT NULL DEFAULT '';
ALTER TABLE agent_type ADD COLUMN aws_roles TEXT NOT NULL DEFAULT '';
ALTER TABLE agent_type ADD COLUMN projects_access TEXT NOT NULL DEFAULT 'ALL';
ALTER TABLE agent_type ADD COLUMN project_ids TEXT NOT NULL DEFAULT '';
ALTER TABLE agent_type ADD COLUMN forks BOOLEAN NOT NULL DEFAULT FALSE;

ALTER TABLE registration_token ADD COLUMN networks TEXT NOT NULL DEFAULT '';
ALTER TABLE registration_token ADD COLUMN one_time BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE registration_token ADD COLUMN created_by TEXT NOT NULL DEFAULT '';
ALTER TABLE registration_token ADD COLUMN last_used_ip TEXT NOT NULL DEFAULT '';
ALTER TABLE registration_token ADD COLUMN last_used_by TEXT NOT NULL DEFAULT '';
CREATE INDEX registration_token_type ON registration_token (agent_type_id, id);

ALTER TABLE agent ADD COLUMN labels TEXT NOT NULL DEFAULT '';
ALTER TABLE agent ADD COLUMN token_id TEXT NOT NULL DEFAULT '';

CREATE TABLE refused_registration (
    agent_type_id TEXT    NOT NULL DEFAULT '',
    reason        TEXT    NOT NULL,
    ip            TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    detail        TEXT    NOT NULL DEFAULT '',
    host          TEXT    NOT NULL DEFAULT '',
    token         TEXT    NOT NULL DEFAULT '',
    count         BIGINT  NOT NULL,
    first_at      BIGINT  NOT NULL,
    last_at       BIGINT  NOT NULL,
    PRIMARY KEY (agent_type_id, reason, ip, name)
);
CREATE INDEX refused_registration_last ON refused_registration (agent_type_id, last_at);

UPDATE schema_meta SET version = 10 WHERE id = 1;
