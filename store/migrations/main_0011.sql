-- Dispatch: fair turns between projects, and limits of how many jobs hold agents at once (0 is none).

-- The queue of an agent type is one line for each project; the older index job_queue stays for older servers.
CREATE INDEX job_line ON job (agent_type, project_id, priority DESC, queued_at, id) WHERE state = 'queued';
CREATE INDEX job_active ON job (agent_type, project_id, state, started_at) WHERE state IN ('offered', 'running');
CREATE INDEX job_ended ON job (agent_type, finished_at) WHERE state = 'finished' AND result = 'passed';
CREATE INDEX agent_gone ON agent (agent_type_id, gone_at) WHERE gone_at > 0;

-- When a project last got an agent of a type, as a number that grows with every job that is handed out.
CREATE TABLE dispatch_turn (
    agent_type TEXT   NOT NULL,
    project_id TEXT   NOT NULL REFERENCES project (id),
    turn       BIGINT NOT NULL,
    PRIMARY KEY (agent_type, project_id)
);

ALTER TABLE project ADD COLUMN max_running_jobs INTEGER NOT NULL DEFAULT 0;
ALTER TABLE agent_type ADD COLUMN max_running_jobs INTEGER NOT NULL DEFAULT 0;
ALTER TABLE organization ADD COLUMN max_running_jobs INTEGER NOT NULL DEFAULT 0;

UPDATE schema_meta SET version = 11 WHERE id = 1;
