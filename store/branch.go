package store

import (
	"fmt"
	"slices"
	"strings"

	"github.com/signalbox-ci/signalbox"
)

// BranchHead is a workflow, and whether its branch, tag or pull request has no newer one.
type BranchHead struct {
	signalbox.Workflow
	Newest bool
}

// lookBack is how many of a branch's workflows are looked through for one that says how the branch was.
const lookBack = "200"

// Workflows of one branch are numbered in the order in which they were made, so that its neighbours are found by number.

// BranchHeads returns the newest workflows first and tells which of them are the newest of their branch.
func (t *Tx) BranchHeads(f WorkflowFilter) ([]*BranchHead, error) {
	c := f.filter()
	page, args := c.page(f.Limit, 0)
	return many(t, "workflow", func(s scanner, h *BranchHead) error {
		return scanWorkflow(appended{s, []any{&h.Newest}}, &h.Workflow)
	}, `SELECT `+workflowColumns+`, (SELECT COUNT(*) FROM workflow v WHERE v.project_id = w.project_id AND v.branch_name = w.branch_name AND v.number = w.number + 1) = 0
		FROM (SELECT * FROM workflow`+c.text()+` ORDER BY created_at DESC, id DESC`+page+`) AS w ORDER BY w.created_at DESC, w.id DESC`, args...)
}

// Predecessors returns, by a workflow's id, the id of the last one of the same branch before it that has ended with a result of its own:
// neither stopped nor canceled.
func (t *Tx) Predecessors(ids []string) (map[string]string, error) {
	out := map[string]string{}
	if len(ids) == 0 {
		return out, nil
	}
	in, args := oneOf(ids)
	type row struct{ id, before string }
	rows, err := many(t, "workflow", func(s scanner, r *row) error { return s.Scan(&r.id, &r.before) }, `SELECT w.id, COALESCE((SELECT b.id
		FROM (SELECT v.id, v.number FROM workflow v WHERE v.project_id = w.project_id AND v.branch_name = w.branch_name
			AND v.number < w.number ORDER BY v.number DESC LIMIT `+lookBack+`) AS b
		WHERE (SELECT CASE WHEN COUNT(CASE WHEN l.state <> 'done' THEN 1 END) = 0 THEN COUNT(CASE WHEN l.result IN ('passed', 'failed') THEN 1 END) ELSE 0 END
			FROM pipeline l WHERE l.workflow_id = b.id) > 0
		ORDER BY b.number DESC LIMIT 1), '') FROM workflow w WHERE w.id IN (`+in+`)`, args...)
	for _, r := range rows {
		if r.before != "" {
			out[r.id] = r.before
		}
	}
	return out, err
}

// Settled returns which workflows nobody need look at any more: they were repeated, or a newer one of their branch has passed.
func (t *Tx) Settled(ids []string) (map[string]bool, error) {
	out := map[string]bool{}
	if len(ids) == 0 {
		return out, nil
	}
	in, args := oneOf(ids)
	settled, err := t.strings(`SELECT w.id FROM workflow w WHERE w.id IN (`+in+`) AND (SELECT COUNT(*)
		FROM (SELECT v.id, v.rerun_of FROM workflow v WHERE v.project_id = w.project_id AND v.branch_name = w.branch_name
			AND v.number > w.number ORDER BY v.number DESC LIMIT `+lookBack+`) AS n
		WHERE n.rerun_of = w.id OR (SELECT CASE WHEN COUNT(*) = 0 THEN 1 ELSE COUNT(CASE WHEN l.result <> 'passed' AND (SELECT COUNT(*) FROM pipeline r
			WHERE r.workflow_id = l.workflow_id AND r.origin LIKE '%"rerun_of":"' || l.id || '"%') = 0 THEN 1 END) END
			FROM pipeline l WHERE l.workflow_id = n.id) = 0) > 0`, args...)
	for _, id := range settled {
		out[id] = true
	}
	return out, err
}

// BranchKey names a branch, tag or pull request of a project.
type BranchKey struct{ ProjectID, BranchName string }

// mostBranches is how many branches one statement of LastOf asks about; SQLite joins 500 at most.
const mostBranches = 100

// LastOf returns the ids of the last n workflows of each of some branches, oldest first.
func (t *Tx) LastOf(branches []BranchKey, n int) (map[BranchKey][]string, error) {
	out := map[BranchKey][]string{}
	for some := range slices.Chunk(branches, mostBranches) {
		var parts []string
		args := []any{n}
		for _, b := range some {
			args = append(args, b.ProjectID, b.BranchName)
			parts = append(parts, fmt.Sprintf(`SELECT * FROM (SELECT id, project_id, branch_name, number FROM workflow WHERE project_id = $%d AND branch_name = $%d ORDER BY number DESC LIMIT $1) AS b%d`,
				len(args)-1, len(args), len(parts)))
		}
		type row struct {
			id  string
			key BranchKey
		}
		rows, err := many(t, "workflow", func(s scanner, r *row) error { return s.Scan(&r.id, &r.key.ProjectID, &r.key.BranchName) },
			`SELECT id, project_id, branch_name FROM (`+strings.Join(parts, ` UNION ALL `)+`) AS w ORDER BY number`, args...)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			out[r.key] = append(out[r.key], r.id)
		}
	}
	return out, nil
}

// Neighbours returns the ids of the workflows of the same branch just before and after one, "" for none.
func (t *Tx) Neighbours(w *signalbox.Workflow) (before, after string, err error) {
	type row struct {
		id     string
		number int
	}
	rows, err := many(t, "workflow", func(s scanner, r *row) error { return s.Scan(&r.id, &r.number) },
		`SELECT id, number FROM workflow WHERE project_id = $1 AND branch_name = $2 AND number IN ($3, $4)`, w.ProjectID, w.BranchName, w.Number-1, w.Number+1)
	for _, r := range rows {
		if r.number < w.Number {
			before = r.id
		} else {
			after = r.id
		}
	}
	return before, after, err
}
