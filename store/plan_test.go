package store_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

// TestDispatchQueriesUseIndexes fills the job table with history and a long queue and asks the database how it would run
// what is asked for every job that is handed out or explained: no statement may read the table, or all that is queued.
func TestDispatchQueriesUseIndexes(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		dir := t.TempDir()
		db, err := sql.Open("sqlite", filepath.Join(dir, "signalbox.db")+"?_pragma=busy_timeout(10000)")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		whole := regexp.MustCompile(`SCAN (job|j|agent|a|e|event|p|project|attempt|workflow|pipeline)( |$)`)
		checkPlans(t, store.Options{Dir: dir}, db, func(text string) string { return strings.Join(rows(t, db, "EXPLAIN QUERY PLAN "+text), "\n") }, whole, sqlitePlanRow)
	})
	t.Run("postgres", func(t *testing.T) {
		url := storetest.PostgresURL(t)
		db, err := sql.Open("pgx", url)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		whole := regexp.MustCompile(`Seq Scan on (job|event|agent|attempt|workflow|pipeline)\b`)
		checkPlans(t, store.Options{URL: url}, db, func(text string) string { return strings.Join(rows(t, db, "EXPLAIN "+text), "\n") }, whole, nil)
	})
}

// sqlitePlanRow tells apart lines about an index from those that only say SCAN.
func sqlitePlanRow(line string) bool {
	return strings.Contains(line, "USING") || strings.Contains(line, "VIRTUAL TABLE") // the rows that a statement was given
}

func checkPlans(t *testing.T, o store.Options, db *sql.DB, plan func(string) string, whole *regexp.Regexp, fine func(string) bool) {
	seen := map[string]bool{}
	watching := false
	o.OnStatement = func(text string) {
		if watching {
			seen[text] = true
		}
	}
	st, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	project, job, agent := queueOne(t, st)
	fillJobs(t, db, job, "finished", 30_000)
	fillJobs(t, db, job, "queued", 5_000)
	fillJobs(t, db, job, "running", 50)
	fillHistory(t, db, job)
	const many = `WITH RECURSIVE many(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM many WHERE i < 3000) `
	for _, fill := range []string{
		`INSERT INTO project (id, name, git_url, default_branch, pipeline_file, created_at) ` + many + `SELECT 'project-' || i, 'p' || i, '', '', '', 1 FROM many`,
		`INSERT INTO agent (id, agent_type_id, name, token_hash, state, created_at, gone_at, changed_at) ` + many + `SELECT 'agent-' || i, a.agent_type_id, 'a' || i, 'h' || i, a.state, 1, i % 3, 1 FROM many, agent a`,
		`INSERT INTO agent_seen (agent_id, seen_at) ` + many + `SELECT 'agent-' || i, 1 FROM many`,
		`INSERT INTO attempt (id, job_id, n, agent_id, agent_name, state, result, offered_at, fetched_at, ended_at) ` + many + `SELECT 'attempt-' || i, j.id, i + 100, 'x', 'agent-' || (i % 100), 'ended', 'passed', 1, 1, i FROM many, (SELECT id FROM job WHERE state = 'queued' ORDER BY id LIMIT 1) j`,
		`INSERT INTO event (noun, id, n, at, actor, reason) ` + many + `SELECT 'job', 'job-' || (i / 3), i, 1, 'x', 'x' FROM many`,
		`ANALYZE`,
	} {
		if _, err := db.ExecContext(t.Context(), fill); err != nil {
			t.Fatalf("%s: %v", fill, err)
		}
	}
	known := *agent // it has told of them before, so its history gets no line
	known.Problems = []signalbox.Problem{{Code: "x"}}
	place := store.WorkflowPlace{CreatedAt: time.UnixMilli(9_000_000_000_000), ID: job.WorkflowID}
	watching = true
	offered := store.Offering{
		Attempt: &signalbox.Attempt{JobID: job.ID, N: 1, AgentID: agent.ID, AgentName: agent.Name, State: signalbox.AttemptOffered}, Job: job, Agent: agent,
	}
	if err := st.Write(t.Context(), func(tx *store.Tx) error {
		do := func(errs ...error) error {
			for _, err := range errs {
				if err != nil {
					return err
				}
			}
			return nil
		}
		drop := func(_ any, err error) error { return err }
		return do(
			drop(tx.Jobs(store.JobFilter{})), drop(tx.Jobs(store.JobFilter{After: store.JobPlace{CreatedAt: tx.Now, ID: job.ID}})),
			drop(tx.Jobs(store.JobFilter{States: []signalbox.JobState{signalbox.JobQueued, signalbox.JobRunning}})),
			drop(tx.Workflows(store.WorkflowFilter{})), drop(tx.Workflows(store.WorkflowFilter{ProjectID: project.ID})),
			drop(tx.Workflows(store.WorkflowFilter{ProjectID: project.ID, BranchName: "main"})),
			drop(tx.Workflows(store.WorkflowFilter{ProjectID: project.ID, BranchName: "main", From: tx.Now, Until: tx.Now, Before: place})),
			drop(tx.Workflows(store.WorkflowFilter{ProjectID: project.ID, RefType: "tag", After: place})),
			drop(tx.Workflows(store.WorkflowFilter{By: "ana", After: place})), drop(tx.Workflows(store.WorkflowFilter{By: "ana", Before: place})),
			drop(tx.Workflows(store.WorkflowFilter{Email: "ana@example.com", After: place})), drop(tx.Workflows(store.WorkflowFilter{After: place})),
			drop(tx.WorkflowsOf([]string{job.WorkflowID})), drop(tx.BranchHeads(store.WorkflowFilter{ProjectID: project.ID, RefType: "branch", After: place})),
			func() error {
				_, _, err := tx.Neighbours(&signalbox.Workflow{ProjectID: project.ID, BranchName: "main", Number: 2})
				return err
			}(), drop(tx.LastOf([]store.BranchKey{{ProjectID: project.ID, BranchName: "main"}, {ProjectID: project.ID, BranchName: "topic"}}, 15)), drop(tx.Predecessors([]string{job.WorkflowID, "other"})), drop(tx.Settled([]string{job.WorkflowID, "other"})),
			drop(tx.PipelineStates([]string{job.WorkflowID, "other"})), drop(tx.FailedJobs([]string{job.PipelineID, "other"}, 100)), drop(tx.WaitingIn([]string{job.PipelineID, "other"})),
			drop(tx.FindProjects(store.ProjectFilter{Words: "p", After: "a"})), drop(tx.FindProjects(store.ProjectFilter{Before: "p"})), drop(tx.LatestOf([]string{project.ID, "other"})),
			drop(tx.RunningIn([]string{project.ID, "other"})), drop(tx.ProjectNames([]string{project.ID, "other"})),
			drop(tx.Pipelines(store.PipelineFilter{})), drop(tx.Pipelines(store.PipelineFilter{ProjectID: project.ID})), drop(tx.Pipelines(store.PipelineFilter{WorkflowID: job.WorkflowID})),
			drop(tx.QueuedAgentTypes()), drop(tx.CountQueued("s1-linux", 64)), drop(tx.Lines("s1-linux")), drop(tx.HeadsOf("s1-linux", []string{project.ID, "other"}, 64)),
			drop(tx.ActiveJobs("s1-linux")), drop(tx.ActiveJobs("")), drop(tx.LastTurn("s1-linux")), drop(tx.LockQueued([]string{job.ID, "other"})),
			drop(tx.Tried([]string{job.ID, "other"}, []string{agent.ID, "other"})),
			drop(tx.LockAgents([]string{agent.ID, "other"})), drop(tx.QueuedOf("s1-linux")), drop(tx.AheadInLine(job)),
			func() error { _, _, err := tx.JobTimes("s1-linux", time.UnixMilli(1), 50); return err }(), drop(tx.TypeJobs("s1-linux", 20)), drop(tx.AgentTimes(agent.AgentTypeID, time.UnixMilli(1), 50)),
			drop(tx.StartedOf("s1-linux")), drop(tx.RanFor("s1-linux", 50)), drop(tx.LastGone(agent.AgentTypeID)), drop(tx.SeenOfType(agent.AgentTypeID)),
			tx.OfferJobs([]store.Offering{offered}, "test"), tx.TakeTurns("s1-linux", map[string]int64{project.ID: 1}),
			func() error { _, _, err := tx.CountJobs("s1-linux"); return err }(), drop(tx.CountAgents("s1-linux", tx.Now)), drop(tx.CountAgents("", tx.Now)), drop(tx.JobCounts()),
			drop(tx.PassedRuns(project.ID, job.Name, 20)), drop(tx.LockAttempts([]string{"attempt-1", "attempt-2"})),
			drop(tx.RunAttempts([]store.RunAttempt{{Attempt: &signalbox.Attempt{ID: "attempt-1", State: signalbox.AttemptEnded}, From: signalbox.AttemptEnded}})),
			drop(tx.EndedOn(agent, 5)), drop(tx.JobNamesakes(job.PipelineID, "x")), drop(tx.Problems()), drop(tx.Leases()),
			func() error { _, _, err := tx.Sick(agent.AgentTypeID); return err }(), tx.SetProblems(&known, known.Problems, "test"),
		)
	}); err != nil {
		t.Fatal(err)
	}
	if len(seen) < 18 {
		t.Errorf("only %d statements were seen", len(seen))
	}
	for text := range seen {
		p := plan(literal(text, project.ID))
		for _, line := range strings.Split(p, "\n") {
			if whole.MatchString(line) && (fine == nil || !fine(line)) {
				t.Errorf("a whole table is read:\n%s\n\n%s", text, p)
			}
		}
		if strings.Contains(text, "LIMIT $2") && !strings.Contains(text, "finished") && !strings.Contains(text, "OFFSET") && strings.Contains(p, "Sort") {
			t.Errorf("all that is queued is sorted:\n%s\n\n%s", text, p)
		}
		if strings.Contains(text, "finished_at - started_at") && strings.Contains(text, "ORDER BY finished_at DESC") && regexp.MustCompile(`(^|\n) *(-> +)?Sort  \(|FOR ORDER BY`).MatchString(p) {
			t.Errorf("all jobs of a name are sorted:\n%s\n\n%s", text, p)
		}
		if strings.HasPrefix(text, "SELECT project_id, queued_at, started_at, finished_at FROM job") && strings.Contains(text, "finished_at >= ") && (!strings.Contains(p, "job_usage") || regexp.MustCompile(`(^|\n) *(-> +)?Sort  \(|FOR ORDER BY`).MatchString(p)) {
			t.Errorf("times of jobs are not read from their index, in its order:\n%s\n\n%s", text, p)
		}
		if strings.Contains(text, "NOT copied ORDER BY finished_at DESC LIMIT") && !strings.Contains(p, "job_usage") {
			t.Errorf("the newest jobs of a type are not read from their index:\n%s\n\n%s", text, p)
		}
		// A workflow has few pipelines.
		if strings.Contains(text, "ORDER BY created_at DESC, id DESC LIMIT") && !strings.Contains(text, "workflow_id = ") && regexp.MustCompile(`(^|\n) *(-> +)?Sort  \(|FOR ORDER BY`).MatchString(p) {
			t.Errorf("a list of the newest sorts all there are:\n%s\n\n%s", text, p)
		}
	}
}

// queueOne stores one queued job, with all that it is part of, and an agent for it.
func queueOne(t *testing.T, st *store.Store) (*signalbox.Project, *signalbox.Job, *signalbox.Agent) {
	t.Helper()
	project := &signalbox.Project{Name: "demo", GitURL: "/srv/demo.git", PipelineFile: "p.yml"}
	job := &signalbox.Job{AgentType: "s1-linux", Priority: 50, State: signalbox.JobQueued}
	agent := &signalbox.Agent{AgentType: "s1-linux", Name: "one", State: signalbox.AgentRegistered}
	if err := st.Write(t.Context(), func(tx *store.Tx) error {
		typ := &signalbox.AgentType{Name: "s1-linux"}
		if err := tx.CreateAgentType(typ, "test"); err != nil {
			return err
		}
		agent.AgentTypeID = typ.ID
		if err := tx.CreateAgent(agent, "hash"); err != nil {
			return err
		}
		if err := tx.CreateProject(project, "test"); err != nil {
			return err
		}
		w, _, err := tx.CreateWorkflow(&signalbox.Workflow{ProjectID: project.ID, Ref: "refs/heads/main", RefType: "branch", RequestToken: "x"}, "test")
		if err != nil {
			return err
		}
		p := &signalbox.Pipeline{WorkflowID: w.ID, ProjectID: project.ID, State: signalbox.PipelineRunning}
		if err := tx.CreatePipeline(p, "test"); err != nil {
			return err
		}
		b := &signalbox.Block{PipelineID: p.ID, State: signalbox.BlockRunning}
		if err := tx.CreateBlock(b); err != nil {
			return err
		}
		job.BlockID, job.PipelineID, job.WorkflowID, job.ProjectID = b.ID, p.ID, w.ID, project.ID
		return tx.CreateJob(job, "test")
	}); err != nil {
		t.Fatal(err)
	}
	return project, job, agent
}

// fillHistory copies the workflow and the pipeline of a job many times.
func fillHistory(t *testing.T, db *sql.DB, j *signalbox.Job) {
	t.Helper()
	for _, table := range []string{"workflow", "pipeline"} {
		own := map[string]map[string]string{
			"workflow": {"id": "'w-' || s.i", "request_token": "'t-' || s.i", "number": "s.i + 10", "created_at": "s.i"},
			"pipeline": {"id": "'p-' || s.i", "workflow_id": "'w-' || s.i", "created_at": "s.i", "state": "'done'"},
		}[table]
		q, err := db.QueryContext(t.Context(), "SELECT * FROM "+table+" LIMIT 0")
		if err != nil {
			t.Fatal(err)
		}
		columns, err := q.Columns()
		if err != nil {
			t.Fatal(err)
		}
		q.Close()
		var values []string
		for _, c := range columns {
			if v := own[c]; v != "" {
				values = append(values, v)
			} else {
				values = append(values, "x."+c)
			}
		}
		id := map[string]string{"workflow": j.WorkflowID, "pipeline": j.PipelineID}[table]
		if _, err := db.ExecContext(t.Context(), fmt.Sprintf(`INSERT INTO %s (%s) WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 10000)
			SELECT %s FROM s, %s x WHERE x.id = '%s'`, table, strings.Join(columns, ", "), strings.Join(values, ", "), table, id)); err != nil {
			t.Fatalf("%s: %v", table, err)
		}
	}
}

// literal puts values where placeholders are; what they are matters to no plan.
func literal(text, project string) string {
	text = regexp.MustCompile(`LIMIT \$\d+`).ReplaceAllString(text, "LIMIT 64")
	text = regexp.MustCompile(`OFFSET \$\d+`).ReplaceAllString(text, "OFFSET 0")
	text = regexp.MustCompile(`([<>]) \(\$\d+, `).ReplaceAllString(text, "$1 (9000000000000, ")
	if strings.Contains(text, "OFFSET") { // where what matches nothing would be sorted, for want of anything to sort
		text = regexp.MustCompile(`project_id = \$\d+`).ReplaceAllString(text, "project_id = '"+project+"'")
		text = regexp.MustCompile(`branch_name = \$\d+`).ReplaceAllString(text, "branch_name = ''")
		text = regexp.MustCompile(`state IN \([^)]*\)`).ReplaceAllString(text, "state IN ('queued', 'running')")
	}
	text = regexp.MustCompile(`(priority|queued_at|seen_at|ended_at|created_at|finished_at|gone_at) ([<>=]+) \$\d+`).ReplaceAllString(text, "$1 $2 50")
	text = regexp.MustCompile(`number IN \(\$\d+, \$\d+\)`).ReplaceAllString(text, "number IN (1, 3)")
	text = regexp.MustCompile(`CAST\(\$\d+ AS (BIGINT|INTEGER)\)`).ReplaceAllString(text, "1")
	text = regexp.MustCompile(`(changed_at|problems_at) = \$\d+`).ReplaceAllString(text, "$1 = 1")
	text = regexp.MustCompile(`(json_each\(|CAST\()\$1( AS jsonb)?\)`).ReplaceAllString(text, "$1'[[]]'$2)")
	if strings.HasPrefix(text, "INSERT INTO dispatch_turn") {
		text = strings.ReplaceAll(text, "$3", "1")
	}
	return regexp.MustCompile(`\$\d+`).ReplaceAllString(text, "'s1-linux'")
}

// fillJobs copies a job many times into a state.
func fillJobs(t *testing.T, db *sql.DB, j *signalbox.Job, state string, n int) {
	t.Helper()
	result := map[string]string{"finished": "passed"}[state]
	if _, err := db.ExecContext(t.Context(), fmt.Sprintf(`INSERT INTO job (id, block_id, pipeline_id, workflow_id, project_id, idx, name, agent_type, priority, spec, state,
		result, created_at, queued_at, started_at, finished_at)
		WITH RECURSIVE many(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM many WHERE i < %d)
		SELECT '%s-' || i, j.block_id, j.pipeline_id, j.workflow_id, j.project_id, i + %d, j.name, j.agent_type, 50, '{}', '%s', '%s', i, i, i, i
		FROM many, job j WHERE j.id = '%s'`, n, state, len(state)*1_000_000, state, result, j.ID)); err != nil {
		t.Fatal(err)
	}
}
