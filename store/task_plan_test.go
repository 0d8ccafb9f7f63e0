package store_test

import (
	"database/sql"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

// No list of tasks or of their runs reads all there are, or sorts a whole history.
func TestTaskListsUseIndexes(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		dir := t.TempDir()
		db, err := sql.Open("sqlite", filepath.Join(dir, "signalbox.db")+"?_pragma=busy_timeout(10000)")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		checkTaskPlans(t, store.Options{Dir: dir}, db, "EXPLAIN QUERY PLAN ", regexp.MustCompile(`SCAN (task|task_run|pipeline|k|r)( |$)`))
	})
	t.Run("postgres", func(t *testing.T) {
		url := storetest.PostgresURL(t)
		db, err := sql.Open("pgx", url)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		checkTaskPlans(t, store.Options{URL: url}, db, "EXPLAIN ", regexp.MustCompile(`Seq Scan on (task|task_run|pipeline)\b`))
	})
}

func checkTaskPlans(t *testing.T, o store.Options, db *sql.DB, explain string, whole *regexp.Regexp) {
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
	project, job, _ := queueOne(t, st)
	fillHistory(t, db, job)
	for _, fill := range []string{
		`INSERT INTO task (id, project_id, name, description, recurring, at, time_zone, ref, pipeline_file, parameters, paused, paused_by, paused_at, overlap, catch_up, owner, next_run_at, version, created_at, updated_at, deleted_at)
			WITH RECURSIVE many(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM many WHERE i < 3000) SELECT 'task-' || i, p.id, 'n' || i, '', false, '', '', '', '', '', false, '', 0, 'allow', 'one', '', 0, 0, 1, 1, i % 2 FROM many, project p`,
		`INSERT INTO task_run (id, task_id, project_id, token, due_at, requester, ref, pipeline_file, parameters, status, attempts, workflow_id, error, note, created_at, run_at, scheduled_at, lease_until)
			WITH RECURSIVE many(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM many WHERE i < 20000) SELECT 'run-' || i, 'task-' || (1 + i % 40), p.id, 't' || i, 0, '', '', '', '', 'passed', 1, 'w-' || (i % 9000), '', '', i, 1, 1, 0 FROM many, project p`,
		`ANALYZE`,
	} {
		if _, err := db.ExecContext(t.Context(), fill); err != nil {
			t.Fatalf("%s: %v", fill, err)
		}
	}
	watching = true
	if err := st.Read(t.Context(), func(tx *store.Tx) error {
		place := store.TaskRunPlace{CreatedAt: tx.Now, ID: "x"}
		for _, ask := range []func() error{
			func() error { _, err := tx.TasksAfter(project.ID, "n1", 51); return err },
			func() error { _, err := tx.TaskRunsBefore("task-1", store.TaskRunPlace{}, 21); return err },
			func() error { _, err := tx.TaskRunsBefore("task-1", place, 21); return err },
			func() error { _, err := tx.TaskRunsAfter("task-1", place, 21); return err },
			func() error { _, err := tx.LastTaskRuns([]string{"task-1", "task-2"}); return err },
			func() error { _, err := tx.LastStartedTaskRun("task-1"); return err },
			func() error { _, err := tx.CountTaskRuns("task-1", 1000); return err },
		} {
			if err := ask(); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	watching = false
	n := 0
	for text := range seen {
		if !strings.Contains(text, "task") && !strings.Contains(text, "pipeline") {
			continue
		}
		n++
		text = regexp.MustCompile(`project_id = \$\d+`).ReplaceAllString(text, "project_id = '"+project.ID+"'")
		text = regexp.MustCompile(`task_id = \$\d+`).ReplaceAllString(text, "task_id = 'task-1'")
		text = regexp.MustCompile(`created_at ([<>=]+) \$\d+`).ReplaceAllString(text, "created_at $1 5000")
		p := strings.Join(rows(t, db, explain+literal(text, project.ID)), "\n")
		for _, line := range strings.Split(p, "\n") {
			if whole.MatchString(line) && !sqlitePlanRow(line) || strings.Contains(line, "TEMP B-TREE FOR ORDER BY") && !strings.Contains(text, "FROM pipeline") {
				t.Errorf("too much is read:\n%s\n\n%s", text, p)
			}
		}
	}
	if n != 7 {
		t.Errorf("%d statements were seen", n)
	}
}
