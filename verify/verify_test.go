package verify_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/artifact"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/joblog"
	"github.com/signalbox-ci/signalbox/secret"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
	"github.com/signalbox-ci/signalbox/verify"
)

// world is a small installation: a pipeline that has passed, one with a running job and one that is queued.
type world struct {
	testing.TB
	o         store.Options
	store     *store.Store
	engine    *engine.Engine
	logs      *joblog.Log
	keys      *auth.Keyring
	artifacts *artifact.Folder
	dir       string
	project   *signalbox.Project
	n         int
}

func newWorld(t testing.TB, o store.Options) *world {
	t.Helper()
	w := &world{TB: t, o: o, dir: t.TempDir(), project: &signalbox.Project{Name: "demo", GitURL: "/srv/demo.git", PipelineFile: "p.yml"}}
	var err error
	w.store = storetest.Open(t, o)
	if w.keys, err = auth.OpenKeyring(w.dir); err != nil {
		t.Fatal(err)
	}
	w.engine = engine.New(engine.Options{Store: w.store, AnyAgent: true})
	secrets, err := secret.New(secret.Options{Store: w.store, Keys: w.keys})
	if err != nil {
		t.Fatal(err)
	}
	w.logs = joblog.New(joblog.Options{Store: w.store})
	if w.artifacts, err = artifact.OpenFolder(filepath.Join(w.dir, "artifacts"), "me"); err != nil {
		t.Fatal(err)
	}
	typ := &signalbox.AgentType{Name: "s1-linux"}
	w.write(func(tx *store.Tx) error {
		if err := tx.CreateProject(w.project, "test"); err != nil {
			return err
		}
		return tx.CreateAgentType(typ, "test")
	})
	if err := secrets.Create(t.Context(), &signalbox.Secret{
		Name: "one", Access: signalbox.SecretAccess{Projects: signalbox.ProjectsAll},
		EnvVars: []signalbox.SecretVar{{Name: "A", Value: signalbox.NewSecretValue("hidden")}},
	}, "test"); err != nil {
		t.Fatal(err)
	}
	if err := w.store.PutNew(t.Context(), "thing", w.keys.Seal([]byte("x"), "thing")); err != nil {
		t.Fatal(err)
	}
	agents := []*signalbox.Agent{}
	for _, name := range []string{"agent-one", "agent-two"} {
		a := &signalbox.Agent{AgentTypeID: typ.ID, AgentType: typ.Name, Name: name, State: signalbox.AgentRegistered}
		w.write(func(tx *store.Tx) error { return tx.CreateAgent(a, "hash of "+name) })
		agents = append(agents, a)
	}
	done := w.run(w.queue(), agents[0])
	w.write(func(tx *store.Tx) error {
		return w.engine.Finish(tx, done, signalbox.JobPassed, "", "", "test")
	})
	if err := w.logs.Close(t.Context(), done); err != nil {
		t.Fatal(err)
	}
	w.push(done)
	w.run(w.queue(), agents[1])
	w.queue()
	return w
}

func (w *world) write(fn func(*store.Tx) error) {
	w.Helper()
	if err := w.store.Write(context.Background(), fn); err != nil {
		w.Fatal(err)
	}
}

// queue makes a pipeline of one job.
func (w *world) queue() (jobID string) {
	w.Helper()
	w.n++
	w.write(func(tx *store.Tx) error {
		name := fmt.Sprintf("b%d", w.n)
		f, _, err := tx.CreateWorkflow(&signalbox.Workflow{
			ProjectID: w.project.ID, Ref: "refs/heads/" + name, RefType: "branch", BranchName: name, Label: name,
			TriggeredBy: signalbox.TriggeredByAPI, RequestToken: name,
		}, "test")
		if err != nil {
			return err
		}
		p, err := w.engine.Create(tx, f, engine.Source{File: "p.yml", YAML: []byte("version: v1.0\nagent: {machine: {type: s1-linux}}\nblocks:\n  - task: {jobs: [{commands: [echo]}]}\n")}, "test")
		if err != nil {
			return err
		}
		jobs, err := tx.JobsOf(p.ID)
		if err == nil {
			jobID = jobs[0].ID
		}
		return err
	})
	return jobID
}

// run gives a job to an agent, which begins and prints.
func (w *world) run(jobID string, ag *signalbox.Agent) (attemptID string) {
	w.Helper()
	w.write(func(tx *store.Tx) error {
		j, err := tx.LockJob(jobID)
		if err != nil {
			return err
		}
		if ag, err = tx.LockAgent(ag.ID); err != nil {
			return err
		}
		a, err := engine.Offer(tx, j, ag, "test")
		if err != nil {
			return err
		}
		attemptID = a.ID
		if _, _, err = engine.Fetched(tx, a.ID, "test"); err != nil {
			return err
		}
		return engine.Running(tx, a.ID, "test")
	})
	for from, text := range map[int64]string{0: "a b c", 5: "f g"} { // 3 and 4 are a gap
		var lines []string
		for _, word := range strings.Fields(text) {
			lines = append(lines, fmt.Sprintf(`{"event":"cmd_output","output":%q}`, word))
		}
		if _, err := w.logs.Append(w.Context(), attemptID, jobID, from, []byte(strings.Join(lines, "\n"))); err != nil {
			w.Fatal(err)
		}
	}
	return attemptID
}

// push stores an artifact.
func (w *world) push(attemptID string) {
	w.Helper()
	text := []byte("what a job has pushed")
	sum := sha256.Sum256(text)
	f := &signalbox.Artifact{
		ProjectID: w.project.ID, Scope: signalbox.ArtifactsOfProject, ScopeID: w.project.ID, Path: "a.txt", BlobID: signalbox.NewID(),
		SHA256: hex.EncodeToString(sum[:]), Size: int64(len(text)), AttemptID: attemptID,
	}
	up, err := w.artifacts.Create(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	if _, err := up.Write(text); err != nil {
		w.Fatal(err)
	}
	if err := up.Commit(artifact.BlobName(f.SHA256, f.BlobID)); err != nil {
		w.Fatal(err)
	}
	w.write(func(tx *store.Tx) error { _, err := tx.PutArtifact(f, false, "test"); return err })
}

func (w *world) verify() []verify.Outcome {
	w.Helper()
	s, err := store.OpenSnapshot(w.Context(), w.o)
	if err != nil {
		w.Fatal(err)
	}
	defer s.Close()
	all, err := verify.Run(w.Context(), verify.Options{Snapshot: s, Keys: w.keys, Artifacts: w.artifacts})
	if err != nil {
		w.Fatal(err)
	}
	return all
}

// violated lists the invariants that do not hold.
func violated(all []verify.Outcome) (ids []string) {
	for _, o := range all {
		if o.Count > 0 {
			ids = append(ids, o.ID)
		}
	}
	return ids
}

func onBoth(t *testing.T, test func(t *testing.T, o store.Options)) {
	t.Run("sqlite", func(t *testing.T) { test(t, store.Options{Dir: t.TempDir()}) })
	t.Run("postgres", func(t *testing.T) { test(t, store.Options{URL: storetest.PostgresURL(t)}) })
}

func TestASoundInstallationHolds(t *testing.T) {
	onBoth(t, func(t *testing.T, o store.Options) {
		for _, x := range newWorld(t, o).verify() {
			for _, v := range x.Violations {
				t.Errorf("%s: %+v", x.ID, v)
			}
			if x.Skipped != "" && x.ID != "pages" {
				t.Errorf("%s was not checked: %s", x.ID, x.Skipped)
			}
			if x.Checked == 0 && x.Skipped == "" && x.ID != "I10" { // nobody has left
				t.Errorf("%s looked at nothing", x.ID)
			}
		}
	})
}

const (
	done    = `(SELECT id FROM job WHERE state = 'finished')`
	running = `(SELECT id FROM job WHERE state = 'running')`
	queued  = `(SELECT id FROM job WHERE state = 'queued')`
	ended   = `(SELECT id FROM attempt WHERE state = 'ended')`
	live    = `(SELECT id FROM attempt WHERE state = 'running')`
)

// TestEachCorruptionIsFound changes one thing at a time behind the system's back, and expects that very invariants to fail
// and no others.
func TestEachCorruptionIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		logs       bool
		statements []string
		want       []string
	}{
		"a job in an unknown state": {false, []string{`UPDATE job SET state = 'asleep' WHERE id = ` + queued}, []string{"I1"}},
		"a running job without an attempt": {
			false,
			[]string{`UPDATE job SET state = 'running' WHERE id = ` + queued},
			[]string{"I1"},
		},
		"a running attempt of a queued job": {false, []string{`UPDATE job SET state = 'queued' WHERE id = ` + running}, []string{"I1"}},
		"two open attempts of a job": {
			false,
			[]string{
				`DROP INDEX attempt_open_job`, `UPDATE attempt SET job_id = ` + running + `, n = 2 WHERE id = ` + ended,
				`UPDATE job SET attempt_n = 2 WHERE id = ` + running, `UPDATE job SET attempt_n = 0 WHERE id = ` + done,
				`UPDATE attempt SET state = 'running', result = '', reason = '', ended_at = 0 WHERE n = 2`,
			},
			[]string{"I2", "I9"},
		},
		"an attempt that is not counted": {false, []string{`UPDATE attempt SET n = 2 WHERE id = ` + ended}, []string{"I2"}},
		"a finished job without result":  {false, []string{`UPDATE job SET result = '' WHERE id = ` + done}, []string{"I4"}},
		"an ended attempt without end":   {false, []string{`UPDATE attempt SET ended_at = 0 WHERE id = ` + ended}, []string{"I4"}},
		"a running attempt with an end":  {false, []string{`UPDATE attempt SET ended_at = 5 WHERE id = ` + live}, []string{"I4"}},
		"a queued job with a result":     {false, []string{`UPDATE job SET result = 'passed' WHERE id = ` + queued}, []string{"I4"}},
		"a done pipeline without end":    {false, []string{`UPDATE pipeline SET done_at = 0 WHERE state = 'done'`}, []string{"I4"}},
		"a job with another result":      {false, []string{`UPDATE job SET result = 'failed' WHERE id = ` + done}, []string{"I8"}},
		"a block with another result":    {false, []string{`UPDATE block SET result = 'failed', reason = 'test' WHERE state = 'done'`}, []string{"I8"}},
		"a pipeline with another result": {false, []string{`UPDATE pipeline SET result = 'failed', reason = 'test' WHERE state = 'done'`}, []string{"I8"}},
		"a pipeline that did not take a step": {
			false,
			[]string{`UPDATE block SET state = 'running', result = '', done_at = 0 WHERE state = 'done'`, `UPDATE pipeline SET state = 'running', result = '', done_at = 0 WHERE state = 'done'`},
			[]string{"I8"},
		},
		"an agent without its attempt":      {false, []string{`UPDATE agent SET attempt_id = '', job_id = '' WHERE attempt_id <> ''`}, []string{"I9"}},
		"an agent with an ended attempt":    {false, []string{`UPDATE agent SET attempt_id = ` + ended + `, job_id = ` + done + ` WHERE attempt_id = ''`}, []string{"I9"}},
		"an agent that left with its job":   {false, []string{`UPDATE agent SET state = 'disconnected' WHERE attempt_id <> ''`}, []string{"I10"}},
		"two workflows of one request":      {false, []string{`DROP INDEX workflow_request`, `UPDATE workflow SET request_token = 'same'`}, []string{"I12"}},
		"a hole in a history":               {false, []string{`DELETE FROM event WHERE noun = 'job' AND n = 1`}, []string{"history"}},
		"a workflow of no project":          {false, []string{`DELETE FROM project`}, []string{"references"}},
		"a lost chunk":                      {true, []string{`DELETE FROM log_chunk WHERE first_event = 0`}, []string{"I5"}},
		"a lost chunk at the end":           {true, []string{`DELETE FROM log_chunk WHERE first_event = 5`}, []string{"I5"}},
		"a lost gap":                        {true, []string{`DELETE FROM log_gap`}, []string{"I5"}},
		"a chunk that counts wrong":         {true, []string{`UPDATE log_chunk SET count = 2 WHERE first_event = 0`}, []string{"I5"}},
		"a chunk with other bytes":          {true, []string{`UPDATE log_chunk SET data = (SELECT data FROM log_chunk WHERE first_event = 5 LIMIT 1) WHERE first_event = 0`}, []string{"I5"}},
		"a log that claims more":            {true, []string{`UPDATE log SET next_event = 9`}, []string{"I5"}},
		"events of no log":                  {true, []string{`DELETE FROM log`}, []string{"I5"}},
		"a log of no attempt":               {true, []string{`UPDATE log SET attempt_id = 'a' || attempt_id`, `UPDATE log_chunk SET attempt_id = 'a' || attempt_id`, `UPDATE log_gap SET attempt_id = 'a' || attempt_id`}, []string{"I5"}},
		"something sealed that was changed": {false, []string{`UPDATE sealed SET name = 'other' WHERE name = 'thing'`}, []string{"sealed"}},
		"a secret in another place":         {false, []string{`UPDATE secret SET project_id = 'p'`}, []string{"sealed"}},
		"an artifact of another size":       {false, []string{`UPDATE artifact_blob SET size = 3`}, []string{"artifacts"}},
		"an artifact without content":       {false, []string{`UPDATE artifact_blob SET sha256 = '` + strings.Repeat("0", 64) + `'`}, []string{"artifacts"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := store.Options{Dir: t.TempDir()}
			w := newWorld(t, o)
			storetest.Damage(t, o, c.logs, c.statements...)
			all := w.verify()
			if got := violated(all); !slices.Equal(got, c.want) {
				t.Errorf("violated: %q, want %q: %+v", got, c.want, all)
			}
			if verify.Holds(all) {
				t.Error("it holds all the same")
			}
		})
	}
}

// TestPostgresFindsThemToo breaks everything in one database, because making one takes long.
func TestPostgresFindsThemToo(t *testing.T) {
	o := store.Options{URL: storetest.PostgresURL(t)}
	w := newWorld(t, o)
	storetest.Damage(t, o, true,
		`UPDATE job SET state = 'asleep' WHERE id = `+queued, `UPDATE attempt SET n = 2 WHERE id = `+ended, `UPDATE job SET result = '' WHERE id = `+done,
		`DELETE FROM log_gap`, `UPDATE block SET result = 'failed', reason = 'test' WHERE state = 'done'`, `UPDATE agent SET attempt_id = `+ended+` WHERE attempt_id = ''`,
		`UPDATE agent SET state = 'disconnected' WHERE attempt_id <> ''`, `DROP INDEX workflow_request`, `UPDATE workflow SET request_token = 'same'`,
		`DELETE FROM event WHERE noun = 'job' AND n = 1`, `DELETE FROM project`, `UPDATE sealed SET name = 'other' WHERE name = 'thing'`, `UPDATE artifact_blob SET size = 3`)
	want := []string{"references", "I1", "I2", "I4", "I5", "I8", "I9", "I10", "I12", "history", "sealed", "artifacts"}
	if got := violated(w.verify()); !slices.Equal(got, want) {
		t.Errorf("violated: %q, want %q", got, want)
	}
}

func TestADamagedPageIsFound(t *testing.T) {
	o := store.Options{Dir: t.TempDir()}
	w := newWorld(t, o)
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(o.Dir, "log.db")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := 4096 * 4; i < 4096*5; i += 3 {
		text[i] ^= 0x55
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := store.OpenSnapshot(t.Context(), o)
	if err != nil {
		return // found even earlier
	}
	defer s.Close()
	all, err := verify.Run(t.Context(), verify.Options{Snapshot: s})
	if err == nil && !slices.Contains(violated(all), "pages") {
		t.Errorf("nothing was found: %+v", all)
	}
}
