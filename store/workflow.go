package store

import (
	"github.com/signalbox-ci/signalbox"
)

const workflowColumns = `id, project_id, number, ref, ref_type, branch_name, label, commit_sha, commit_range, commit_message, commit_author, triggered_by, requester, request_token, rerun_of, created_at`

func scanWorkflow(s scanner, w *signalbox.Workflow) error {
	return s.Scan(&w.ID, &w.ProjectID, &w.Number, &w.Ref, &w.RefType, &w.BranchName, &w.Label, &w.CommitSHA, &w.CommitRange,
		&w.CommitMessage, &w.CommitAuthor, &w.TriggeredBy, &w.Requester, &w.RequestToken, &w.RerunOf, at{&w.CreatedAt})
}

// CreateWorkflow stores a workflow with the next number of its branch. When its request token was used before, it
// stores nothing and returns the workflow of then and false.
func (t *Tx) CreateWorkflow(w *signalbox.Workflow, actor string) (*signalbox.Workflow, bool, error) {
	// The project row is the lock under which numbers are counted.
	if err := t.LockProject(w.ProjectID); err != nil {
		return nil, false, err
	}
	old, err := t.FindWorkflow(w.ProjectID, w.RequestToken)
	if err == nil {
		return old, false, nil
	}
	if signalbox.ErrorCode(err) != signalbox.CodeNotFound {
		return nil, false, err
	}
	if w.ID == "" {
		w.ID = signalbox.NewID()
	}
	w.CreatedAt = t.Now
	if err := t.q.QueryRowContext(t.ctx, `SELECT COALESCE(MAX(number), 0) + 1 FROM workflow WHERE project_id = $1 AND branch_name = $2`,
		w.ProjectID, w.BranchName).Scan(&w.Number); err != nil {
		return nil, false, err
	}
	if _, err := t.exec(`INSERT INTO workflow (`+workflowColumns+`) VALUES (`+list(1, 16)+`)`,
		w.ID, w.ProjectID, w.Number, w.Ref, w.RefType, w.BranchName, w.Label, w.CommitSHA, w.CommitRange, w.CommitMessage,
		w.CommitAuthor, w.TriggeredBy, w.Requester, w.RequestToken, w.RerunOf, ms(w.CreatedAt)); err != nil {
		return nil, false, err
	}
	t.Wake(KeyWorkflow(w.ID), KeyProject(w.ProjectID))
	return w, true, t.Record("workflow", w.ID, actor, "created", string(w.TriggeredBy))
}

// Workflow returns a workflow by id.
func (t *Tx) Workflow(id string) (*signalbox.Workflow, error) {
	return one(t, "workflow", id, scanWorkflow, `SELECT `+workflowColumns+` FROM workflow WHERE id = $1`, id)
}

// FindWorkflow returns the workflow of a project that a request with a token made.
func (t *Tx) FindWorkflow(projectID, token string) (*signalbox.Workflow, error) {
	return one(t, "workflow", token, scanWorkflow, `SELECT `+workflowColumns+` FROM workflow WHERE project_id = $1 AND request_token = $2`, projectID, token)
}

// WorkflowFilter narrows a list; empty fields do not.
type WorkflowFilter struct {
	ProjectID  string
	BranchName string
	Limit      int // default 30
	Offset     int
}

func (f WorkflowFilter) filter() *filter {
	c := &filter{}
	c.equal("project_id", f.ProjectID)
	c.equal("branch_name", f.BranchName)
	return c
}

// Workflows returns the newest workflows first.
func (t *Tx) Workflows(f WorkflowFilter) ([]*signalbox.Workflow, error) {
	c := f.filter()
	page, args := c.page(f.Limit, f.Offset)
	return many(t, "workflow", scanWorkflow, `SELECT `+workflowColumns+` FROM workflow`+c.text()+` ORDER BY created_at DESC, id DESC`+page, args...)
}

// CountWorkflows counts what a filter without limit and offset finds.
func (t *Tx) CountWorkflows(f WorkflowFilter) (int, error) {
	var n int
	c := f.filter()
	err := t.q.QueryRowContext(t.ctx, `SELECT COUNT(*) FROM workflow`+c.text(), c.args...).Scan(&n)
	return n, err
}
