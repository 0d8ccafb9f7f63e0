-- The projects that somebody wants to have at hand.

CREATE TABLE star (
    account_id TEXT   NOT NULL REFERENCES account (id),
    project_id TEXT   NOT NULL REFERENCES project (id),
    at         BIGINT NOT NULL,
    PRIMARY KEY (account_id, project_id)
);

UPDATE schema_meta SET version = 18 WHERE id = 1;
