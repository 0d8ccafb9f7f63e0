-- Lists begin with the newest, and no list looks through what has ended.

DROP INDEX job_created;
CREATE INDEX job_newest ON job (created_at, id);
CREATE INDEX job_open ON job (created_at, id) WHERE state <> 'finished';
CREATE INDEX workflow_newest ON workflow (created_at, id);
CREATE INDEX workflow_branch ON workflow (project_id, branch_name, created_at);
CREATE INDEX pipeline_newest ON pipeline (created_at, id);

UPDATE schema_meta SET version = 13 WHERE id = 1;
