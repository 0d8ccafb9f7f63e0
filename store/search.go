package store

import (
	"strings"

	"github.com/signalbox-ci/signalbox"
)

// lately is how many of the newest workflows are looked through for words in their commit message.
const lately = 500

// FoundWorkflow is a workflow with its project's name.
type FoundWorkflow struct {
	signalbox.Workflow
	Project string
}

// FindWorkflows returns the newest workflows whose id is query, or, among the last 500, whose commit begins with it or whose branch or
// commit message holds it.
func (t *Tx) FindWorkflows(query string, n int) ([]*FoundWorkflow, error) {
	like := "%" + escapeLike(strings.ToLower(query)) + "%"
	columns := "w." + strings.ReplaceAll(workflowColumns, ", ", ", w.")
	return many(t, "workflow", func(s scanner, f *FoundWorkflow) error {
		return scanWorkflow(appended{s, []any{&f.Project}}, &f.Workflow)
	}, `SELECT `+columns+`, p.name FROM (SELECT * FROM (SELECT * FROM workflow ORDER BY created_at DESC, id DESC LIMIT $1) AS newest
		WHERE LOWER(commit_message) LIKE $2 ESCAPE '!' OR LOWER(label) LIKE $2 ESCAPE '!' OR commit_sha LIKE $3 ESCAPE '!'
		UNION SELECT * FROM workflow WHERE id = $4) AS w
		JOIN project p ON p.id = w.project_id WHERE p.deleted_at = 0 ORDER BY w.created_at DESC, w.id DESC LIMIT $5`,
		lately, like, like[1:], query, n)
}

// FindAgents returns living agents whose name or host holds words, which are in lower case.
func (t *Tx) FindAgents(words string, n int) ([]*signalbox.Agent, error) {
	return many(t, "agent", scanAgent, `SELECT `+agentColumns+agentFrom+`WHERE a.gone_at = 0 AND (LOWER(a.name) LIKE $1 ESCAPE '!' OR LOWER(a.hostname) LIKE $1 ESCAPE '!')
		ORDER BY a.name LIMIT $2`, "%"+escapeLike(words)+"%", n)
}

// escapeLike takes the meaning away from what LIKE would read as a pattern.
func escapeLike(s string) string {
	return strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(s)
}
