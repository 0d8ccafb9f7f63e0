-- What redaction needs. Logs of attempts without secrets have none of it.

-- secret_key is the attempt's key, sealed by the master key; rests counts the rows of log_rest.
ALTER TABLE log ADD COLUMN secret_key BYTES NOT NULL DEFAULT '';
ALTER TABLE log ADD COLUMN rests BIGINT NOT NULL DEFAULT 0;

-- A keyed hash of each raw event, one after another.
ALTER TABLE log_chunk ADD COLUMN hashes BYTES NOT NULL DEFAULT '';

-- The end of the output before an event that may be the beginning of a secret, sealed.
CREATE TABLE log_tail (
    attempt_id   TEXT   NOT NULL,
    before_event BIGINT NOT NULL,
    data         BYTES  NOT NULL,
    PRIMARY KEY (attempt_id, before_event)
);

-- Text that was held back, proved harmless, and stands before an event.
CREATE TABLE log_rest (
    attempt_id   TEXT   NOT NULL,
    before_event BIGINT NOT NULL,
    data         BYTES  NOT NULL,
    PRIMARY KEY (attempt_id, before_event)
);

UPDATE log_schema_meta SET version = 2 WHERE id = 1;
