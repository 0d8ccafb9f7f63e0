package store

import (
	"slices"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
)

const workflowColumns = `id, project_id, number, ref, ref_type, branch_name, label, commit_sha, commit_range, commit_message, commit_author, triggered_by, requester, request_token, rerun_of, created_at, commit_email`

func scanWorkflow(s scanner, w *signalbox.Workflow) error {
	return s.Scan(&w.ID, &w.ProjectID, &w.Number, &w.Ref, &w.RefType, &w.BranchName, &w.Label, &w.CommitSHA, &w.CommitRange,
		&w.CommitMessage, &w.CommitAuthor, &w.TriggeredBy, &w.Requester, &w.RequestToken, &w.RerunOf, at{&w.CreatedAt}, &w.CommitEmail)
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
	if _, err := t.exec(`INSERT INTO workflow (`+workflowColumns+`) VALUES (`+list(1, 17)+`)`,
		w.ID, w.ProjectID, w.Number, w.Ref, w.RefType, w.BranchName, w.Label, w.CommitSHA, w.CommitRange, w.CommitMessage,
		w.CommitAuthor, w.TriggeredBy, w.Requester, w.RequestToken, w.RerunOf, ms(w.CreatedAt), w.CommitEmail); err != nil {
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
	RefType    string
	By         string        // who started it, or wrote the commit when nobody is known to have started it
	Email      string        // of who wrote the commit, when nobody is known to have started it; in any case of letters
	From       time.Time     // not before
	Until      time.Time     // before
	After      WorkflowPlace // the older ones next to this place
	Before     WorkflowPlace // the newer ones next to this place
	Limit      int           // default 30
	Offset     int
}

// WorkflowPlace is a place in a list of workflows: that of the workflow with this id, which was created at this time.
type WorkflowPlace struct {
	CreatedAt time.Time
	ID        string
}

// workflowBy is who a workflow is of, as the index of it says it.
const workflowBy = `(CASE WHEN requester <> '' THEN requester ELSE commit_author END)`

func (f WorkflowFilter) filter() *filter {
	c := &filter{}
	c.equal("project_id", f.ProjectID)
	c.equal("branch_name", f.BranchName)
	c.equal("ref_type", f.RefType)
	c.equal(workflowBy, f.By)
	if f.Email != "" {
		c.add("requester = ''")
		c.add("LOWER(commit_email) = ?", strings.ToLower(f.Email))
	}
	if !f.From.IsZero() {
		c.add("created_at >= ?", ms(f.From))
	}
	if !f.Until.IsZero() {
		c.add("created_at < ?", ms(f.Until))
	}
	if f.After.ID != "" {
		c.add("(created_at, id) < (?, ?)", ms(f.After.CreatedAt), f.After.ID)
	}
	if f.Before.ID != "" {
		c.add("(created_at, id) > (?, ?)", ms(f.Before.CreatedAt), f.Before.ID)
	}
	return c
}

// Workflows returns the newest workflows first.
func (t *Tx) Workflows(f WorkflowFilter) ([]*signalbox.Workflow, error) {
	c := f.filter()
	page, args := c.page(f.Limit, f.Offset)
	order := " ORDER BY created_at DESC, id DESC"
	if f.Before.ID != "" {
		order = " ORDER BY created_at, id"
	}
	out, err := many(t, "workflow", scanWorkflow, `SELECT `+workflowColumns+` FROM workflow`+c.text()+order+page, args...)
	if f.Before.ID != "" {
		slices.Reverse(out)
	}
	return out, err
}

// CountWorkflows counts the workflows of a project, at most up to limit.
func (t *Tx) CountWorkflows(projectID string, limit int) (n int, err error) {
	err = t.q.QueryRowContext(t.ctx, `SELECT COUNT(*) FROM (SELECT 1 AS one FROM workflow WHERE project_id = $1 LIMIT $2) x`, projectID, limit).Scan(&n)
	return n, err
}

// WorkflowsOf returns the workflows with some ids, by their ids.
func (t *Tx) WorkflowsOf(ids []string) (map[string]*signalbox.Workflow, error) {
	out := map[string]*signalbox.Workflow{}
	if len(ids) == 0 {
		return out, nil
	}
	in, args := oneOf(ids)
	list, err := many(t, "workflow", scanWorkflow, `SELECT `+workflowColumns+` FROM workflow WHERE id IN (`+in+`)`, args...)
	for _, w := range list {
		out[w.ID] = w
	}
	return out, err
}
