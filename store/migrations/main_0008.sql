-- Where pipeline files are compiled, and what must pass before a pipeline begins. There is one organization.

ALTER TABLE project ADD COLUMN initialization TEXT NOT NULL DEFAULT '';

CREATE TABLE organization (
    id             INTEGER NOT NULL PRIMARY KEY,
    initialization TEXT    NOT NULL DEFAULT ''
);
INSERT INTO organization (id) VALUES (1);

UPDATE schema_meta SET version = 8 WHERE id = 1;
