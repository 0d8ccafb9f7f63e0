-- rev counts how often what was readable of a log changed otherwise than by growing at its end.
ALTER TABLE log ADD COLUMN rev BIGINT NOT NULL DEFAULT 0;

-- The line index of a closed log. It is derived: a row that is missing or of another rev or format is made again.
CREATE TABLE log_index (
    attempt_id TEXT   NOT NULL PRIMARY KEY,
    rev        BIGINT NOT NULL,
    next_event BIGINT NOT NULL,
    format     BIGINT NOT NULL,
    at         BIGINT NOT NULL,
    data       BYTES  NOT NULL
);

UPDATE log_schema_meta SET version = 3 WHERE id = 1;
