package store

import (
	"slices"
	"strings"

	"github.com/signalbox-ci/signalbox"
)

// ProjectFilter narrows a list of projects; empty fields do not.
type ProjectFilter struct {
	Words     string // which the name or the repository's address holds, in any case of letters
	StarredBy string // a user
	After     string // a name: those that follow it
	Before    string // a name: those next before it
	Limit     int    // default 30
}

// FindProjects returns projects that are not deleted, by name.
func (t *Tx) FindProjects(f ProjectFilter) ([]*signalbox.Project, error) {
	c := &filter{where: []string{"deleted_at = 0"}}
	if f.Words != "" {
		like := "%" + escapeLike(strings.ToLower(f.Words)) + "%"
		c.add("(LOWER(name) LIKE ? ESCAPE '!' OR LOWER(git_url) LIKE ? ESCAPE '!')", like, like)
	}
	if f.StarredBy != "" {
		c.add("id IN (SELECT project_id FROM star WHERE account_id = ?)", f.StarredBy)
	}
	if f.After != "" {
		c.add("name > ?", f.After)
	}
	order := " ORDER BY name"
	if f.Before != "" {
		c.add("name < ?", f.Before)
		order = " ORDER BY name DESC"
	}
	page, args := c.page(f.Limit, 0)
	out, err := many(t, "project", scanProject, `SELECT `+projectColumns+` FROM project`+c.text()+order+page, args...)
	if f.Before != "" {
		slices.Reverse(out)
	}
	return out, err
}

// ProjectNames returns the names of those of some projects that are not deleted, by their ids.
func (t *Tx) ProjectNames(ids []string) (map[string]string, error) {
	out := map[string]string{}
	if len(ids) == 0 {
		return out, nil
	}
	in, args := oneOf(ids)
	type row struct{ id, name string }
	rows, err := many(t, "project", func(s scanner, r *row) error { return s.Scan(&r.id, &r.name) },
		`SELECT id, name FROM project WHERE id IN (`+in+`) AND deleted_at = 0`, args...)
	for _, r := range rows {
		out[r.id] = r.name
	}
	return out, err
}

// Latest names the newest workflow of a project and that of its default branch, "" for none.
type Latest struct {
	ProjectID, WorkflowID, DefaultID string
}

// LatestOf returns the newest workflows of some projects, by the project's id.
func (t *Tx) LatestOf(projectIDs []string) (map[string]*Latest, error) {
	out := map[string]*Latest{}
	if len(projectIDs) == 0 {
		return out, nil
	}
	in, args := oneOf(projectIDs)
	rows, err := many(t, "project", func(s scanner, l *Latest) error { return s.Scan(&l.ProjectID, &l.WorkflowID, &l.DefaultID) },
		`SELECT p.id, COALESCE((SELECT w.id FROM workflow w WHERE w.project_id = p.id ORDER BY w.created_at DESC, w.id DESC LIMIT 1), ''),
			COALESCE((SELECT w.id FROM workflow w WHERE w.project_id = p.id AND w.branch_name = p.default_branch ORDER BY w.created_at DESC, w.id DESC LIMIT 1), '')
		FROM project p WHERE p.id IN (`+in+`)`, args...)
	for _, l := range rows {
		out[l.ProjectID] = l
	}
	return out, err
}

// RunningIn counts the running jobs of those of some projects that have any.
func (t *Tx) RunningIn(projectIDs []string) (map[string]int, error) {
	out := map[string]int{}
	if len(projectIDs) == 0 {
		return out, nil
	}
	in, args := oneOf(projectIDs)
	type row struct {
		id string
		n  int
	}
	rows, err := many(t, "project", func(s scanner, r *row) error { return s.Scan(&r.id, &r.n) },
		`SELECT project_id, COUNT(CASE WHEN state = 'running' THEN 1 END) FROM job WHERE state IN ('offered', 'running') AND project_id IN (`+in+`) GROUP BY project_id`, args...)
	for _, r := range rows {
		out[r.id] = r.n
	}
	return out, err
}
