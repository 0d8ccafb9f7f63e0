-- What an agent type was asked for in the last hours is read from the index alone, however long the history is.

CREATE INDEX job_usage ON job (agent_type, finished_at, queued_at, started_at, project_id) WHERE state = 'finished' AND NOT copied;

UPDATE schema_meta SET version = 19 WHERE id = 1;
