-- How long jobs of a name usually take.

CREATE INDEX job_usual ON job (project_id, name, finished_at) WHERE state = 'finished' AND result = 'passed' AND original_id = '';

UPDATE schema_meta SET version = 15 WHERE id = 1;
