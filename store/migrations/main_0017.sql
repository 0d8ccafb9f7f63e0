-- Lists of the home page, of projects and of branches: who a workflow is of, and the refs of one kind. The author's address says whose
-- a push is.

ALTER TABLE workflow ADD COLUMN commit_email TEXT NOT NULL DEFAULT '';
CREATE INDEX workflow_by ON workflow ((CASE WHEN requester <> '' THEN requester ELSE commit_author END), created_at, id);
CREATE INDEX workflow_email ON workflow (LOWER(commit_email), created_at, id) WHERE requester = '';
CREATE INDEX workflow_kind ON workflow (project_id, ref_type, created_at, id);

UPDATE schema_meta SET version = 17 WHERE id = 1;
