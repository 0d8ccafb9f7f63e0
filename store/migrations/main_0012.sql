-- Agents that are not well: quarantine with its evidence, what agents report of themselves, and the time after which an
-- agent ends its job on its own.

ALTER TABLE agent_type ADD COLUMN quarantine_failures INTEGER NOT NULL DEFAULT 3;
ALTER TABLE agent_type ADD COLUMN quarantine_of INTEGER NOT NULL DEFAULT 5;
ALTER TABLE agent_type ADD COLUMN lease_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE agent_type ADD COLUMN ephemeral BOOLEAN NOT NULL DEFAULT FALSE;

ALTER TABLE agent ADD COLUMN quarantined_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE agent ADD COLUMN quarantine TEXT NOT NULL DEFAULT '';
ALTER TABLE agent ADD COLUMN counts_since BIGINT NOT NULL DEFAULT 0;
ALTER TABLE agent ADD COLUMN problems TEXT NOT NULL DEFAULT '';
ALTER TABLE agent ADD COLUMN problems_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX agent_quarantined ON agent (agent_type_id) WHERE quarantined_at > 0 AND gone_at = 0;
CREATE INDEX agent_problem ON agent (agent_type_id) WHERE problems <> '' AND gone_at = 0;

-- What became of the same job on another agent, and the lease that the agent has said it keeps.
ALTER TABLE attempt ADD COLUMN elsewhere TEXT NOT NULL DEFAULT '';
ALTER TABLE attempt ADD COLUMN lease_ms BIGINT NOT NULL DEFAULT 0;
CREATE INDEX attempt_on_agent ON attempt (agent_name, ended_at) WHERE state = 'ended' AND fetched_at > 0;

UPDATE schema_meta SET version = 12 WHERE id = 1;
