-- Debug jobs: jobs beside their block and pipeline, which they share with the job that they were made of.

ALTER TABLE job ADD COLUMN debug_of TEXT NOT NULL DEFAULT '';
ALTER TABLE job ADD COLUMN time_limit_ms BIGINT NOT NULL DEFAULT 0;
DROP INDEX job_index;
CREATE UNIQUE INDEX job_index ON job (block_id, idx) WHERE debug_of = '';
CREATE INDEX job_debug ON job (debug_of) WHERE debug_of <> '';
CREATE INDEX job_limit ON job (started_at) WHERE state = 'running' AND time_limit_ms > 0;

-- What may be debugged and attached to, as JSON lists of kinds of ref; '' is none.
ALTER TABLE project ADD COLUMN custom_permissions BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE project ADD COLUMN debug_permissions TEXT NOT NULL DEFAULT '';
ALTER TABLE project ADD COLUMN attach_permissions TEXT NOT NULL DEFAULT '';

UPDATE schema_meta SET version = 4 WHERE id = 1;
